/**
 * Skills of the operator's own, beside the built-in ones: ES modules whose default export is a `Skill` or a list of them.
 * They are checked once, at the start, so that a worker never finds out in the middle of a task what a tool lacks.
 */
import { registerHooks } from "node:module";
import { isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { messageOf, OuterloopError, type Skill } from "@outerloop/core/domain";
import { createBuiltInSkills } from "./built-in.ts";
import { createRegistry, type Registry, type ToolLimits } from "./registry.ts";

/** What the providers accept as a tool's name, all of them. */
const toolName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, "must be a letter, then up to 63 of A–Z a–z 0–9 _ -");

/** A step has an end, or it would hold its task's claim for ever. */
export const maxToolMs = 3_600_000;

const toolSchema = z.object({
  name: toolName,
  version: z.string().min(1).max(100),
  description: z.string().trim().min(1, "a model chooses a tool by its description").max(4000),
  effect: z.enum(["pure", "stored", "external"]),
  makes: z.enum(["file", "note"]).optional(),
  input: z.custom<z.ZodType>(
    (value) => typeof value === "object" && value !== null && "_zod" in value && "safeParse" in value,
    "must be a schema of zod 4",
  ),
  timeoutMs: z.number().int().min(1).max(maxToolMs),
  run: z.custom((value) => typeof value === "function", "must be a function"),
  deduplicates: z
    .custom((value) => typeof value === "boolean" || typeof value === "function", "must be true, false or a function")
    .optional(),
  reconcile: z.custom((value) => typeof value === "function", "must be a function").optional(),
});

const skillSchema = z.object({
  name: z.string().regex(/^[\w.@/-]{1,100}$/, "must be 1 to 100 of A–Z a–z 0–9 _ . @ / -"),
  description: z.string().max(4000),
  tools: z.array(toolSchema).min(1),
});

export interface SkillSource {
  /** Paths relative to `cwd` or absolute, or names of packages as found from there. */
  readonly skillModules: readonly string[];
  readonly cwd: string;
  /** What one call may be given and may give. */
  readonly payload?: ToolLimits;
}

/**
 * The built-in skills and those of the named modules.
 * @throws OuterloopError `config`, naming the module and the field
 */
export async function openRegistry({ skillModules, cwd, payload }: SkillSource): Promise<Registry> {
  const registry = createRegistry(createBuiltInSkills(), payload);
  for (const name of skillModules) {
    for (const skill of await loadSkills(name, cwd)) {
      try {
        registry.register(skill);
      } catch (thrown) {
        throw wrong(name, messageOf(thrown), thrown);
      }
    }
  }
  return registry;
}

async function loadSkills(name: string, cwd: string): Promise<readonly Skill[]> {
  const module = await importFrom(name, cwd).catch((thrown: unknown) => {
    throw wrong(name, `it cannot be loaded: ${messageOf(thrown)}`, thrown);
  });
  const exported = module["default"];
  if (exported === undefined) throw wrong(name, "default: must be exported, a skill or a list of skills");
  const isList = Array.isArray(exported);
  const checked = z
    .array(skillSchema)
    .min(1)
    .safeParse(isList ? exported : [exported]);
  if (!checked.success) {
    const problems = checked.error.issues.map(
      (issue) => `${pathOf(issue.path.slice(isList ? 0 : 1), isList)}: ${issue.message}`,
    );
    throw wrong(name, problems.join("; "));
  }
  const skills = (isList ? exported : [exported]) as readonly Skill[];
  for (const tool of skills.flatMap((skill) => skill.tools)) checkParameters(name, tool.name, tool.input);
  // As they were written and not as they were parsed: a tool may have state and methods of its own.
  return skills;
}

/** A model calls a tool with an object, and is told of it as a JSON schema. */
function checkParameters(module: string, tool: string, input: z.ZodType): void {
  let type: unknown;
  try {
    type = z.toJSONSchema(input, { io: "input", unrepresentable: "any" }).type;
  } catch (thrown) {
    throw wrong(module, `${tool}.input: has no JSON schema: ${messageOf(thrown)}`, thrown);
  }
  if (type !== "object") throw wrong(module, `${tool}.input: must be a z.object`);
}

async function importFrom(name: string, cwd: string): Promise<Record<string, unknown>> {
  const base = resolve(cwd);
  const isPath = isAbsolute(name) || /^\.{1,2}\//.test(name) || /\.[cm]?[jt]s$/.test(name);
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      // A package is the operator's, so it is looked for where they stand and not among our own dependencies.
      if (specifier === name && !isPath && context.parentURL === import.meta.url)
        return next(specifier, { ...context, parentURL: pathToFileURL(`${base}/`).href });
      if (specifier !== "zod") return next(specifier, context);
      // A module that stands alone in a folder has no packages; schemas need none but ours.
      try {
        return next(specifier, context);
      } catch {
        return next(specifier, { ...context, parentURL: import.meta.url });
      }
    },
  });
  try {
    const target = isPath ? pathToFileURL(resolve(base, name)).href : name;
    return (await import(target)) as Record<string, unknown>;
  } finally {
    hooks.deregister();
  }
}

/** `tools[0].timeoutMs`, or `[1].tools[0].timeoutMs` in a list. */
function pathOf(path: readonly PropertyKey[], isList: boolean): string {
  const text = path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .replace(/^\./, "");
  return text === "" ? (isList ? "default[]" : "default") : text;
}

function wrong(module: string, why: string, cause?: unknown): OuterloopError {
  return new OuterloopError("config", `OUTERLOOP_SKILL_MODULES: ${module}: ${why}`, { cause });
}
