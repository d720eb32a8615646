/** A Dockerfile as stages of instructions. Only what `replay.ts` can carry out; anything else is refused by name. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DockerfileParser, From, ModifiableInstruction, PropertyInstruction, type Instruction } from "dockerfile-ast";
import { rootPath } from "./context.ts";

export interface Step {
  readonly keyword: string;
  /** Everything after the keyword and its flags, on one line. */
  readonly text: string;
  readonly flags: ReadonlyMap<string, string>;
  /** Of ARG, ENV and LABEL. */
  readonly properties: readonly (readonly [name: string, value: string | null])[];
  readonly line: number;
}

export interface Stage {
  /** What it begins with: an image, or the name of an earlier stage. */
  readonly from: string;
  readonly name: string | null;
  readonly steps: readonly Step[];
}

export interface ParsedDockerfile {
  /** Before the first stage. */
  readonly args: ReadonlyMap<string, string>;
  readonly stages: readonly Stage[];
}

export const dockerfilePath = join(rootPath, "infra/image/Dockerfile");

export function parseDockerfile(text: string = readFileSync(dockerfilePath, "utf8")): ParsedDockerfile {
  const dockerfile = DockerfileParser.parse(text);
  const args = new Map(
    dockerfile.getInitialARGs().flatMap((arg) => stepOf(arg).properties.map(([k, v]) => [k, v ?? ""])),
  );
  const stages: { from: string; name: string | null; steps: Step[] }[] = [];
  for (const instruction of dockerfile.getInstructions()) {
    if (instruction instanceof From)
      stages.push({ from: expand(instruction.getImage() ?? "", args), name: instruction.getBuildStage(), steps: [] });
    else stages.at(-1)?.steps.push(stepOf(instruction));
  }
  return { args, stages };
}

/** `$NAME`, `${NAME}` and `${NAME:-otherwise}`. */
export function expand(text: string, values: ReadonlyMap<string, string>): string {
  return text.replaceAll(
    /\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})/g,
    (_, plain: string | undefined, braced: string | undefined, otherwise: string | undefined) =>
      values.get(plain ?? braced ?? "") ?? otherwise ?? "",
  );
}

function stepOf(instruction: Instruction): Step {
  const flags = instruction instanceof ModifiableInstruction ? instruction.getFlags() : [];
  const properties = instruction instanceof PropertyInstruction ? instruction.getProperties() : [];
  // A line of comment may stand between continued ones.
  let text = (instruction.getRawArgumentsContent() ?? "").replaceAll(/^\s*#.*\n/gm, "").replaceAll(/\\\n\s*/g, "");
  for (const flag of flags) text = text.replace(flag.toString(), "").trimStart();
  return {
    keyword: instruction.getKeyword(),
    text,
    flags: new Map(flags.map((flag) => [flag.getName(), flag.getValue() ?? ""])),
    properties: properties.map((property) => [property.getName(), property.getValue()] as const),
    line: instruction.getRange().start.line + 1,
  };
}
