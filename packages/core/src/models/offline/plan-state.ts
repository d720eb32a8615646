/** What a plan's prompt tells, read back. */
import type { ModelRequest } from "../../domain/model.ts";
import { readPrompt } from "./prompt.ts";

export interface PlanTask {
  readonly id: string;
  readonly status: string;
  readonly dependsOn: readonly string[];
  readonly parent: string;
  readonly text: string;
  readonly result: string;
  /** A budget ended before it was done, and more was given since. */
  readonly isCutOff: boolean;
}

export interface PlanState {
  readonly goal: string;
  readonly paths: readonly string[];
  /** In bytes, by path. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly fileCount: number;
  readonly tools: ReadonlySet<string>;
  /** Questions of earlier goals of the session, oldest first. */
  readonly asked: readonly string[];
  readonly tasks: readonly PlanTask[];
}

export function readPlanState(request: ModelRequest): PlanState {
  const prompt = readPrompt(request);
  const workspace = prompt.first("workspace");
  const sizes = new Map(
    (workspace?.body ?? "").split("\n").flatMap((line): [string, number][] => {
      const tab = line.lastIndexOf("\t");
      return tab < 0 ? [] : [[line.slice(0, tab), Number(line.slice(tab + 1)) || 0]];
    }),
  );
  const paths = [...sizes.keys()];
  return {
    goal: prompt.body("goal").trim(),
    paths,
    sizes,
    fileCount: Number(workspace?.attributes["files"] ?? paths.length),
    tools: new Set(
      prompt
        .body("tools")
        .split("\n")
        .map((line) => line.split(":")[0]!.trim()),
    ),
    asked: prompt.all("session").flatMap((section) => /^Question: (.*)$/m.exec(section.body)?.[1] ?? []),
    tasks: prompt.all("task").map(({ attributes, body }) => {
      const [text = "", ...rest] = body.split("\n\nResult:\n");
      return {
        id: attributes["id"] ?? "",
        status: attributes["status"] ?? "",
        dependsOn: (attributes["depends_on"] ?? "").split(" ").filter(Boolean),
        parent: attributes["parent"] ?? "",
        text,
        result: rest.join("\n\nResult:\n"),
        isCutOff: attributes["cut_off"] === "true",
      };
    }),
  };
}
