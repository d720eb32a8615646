/**
 * What models answer with, as schemas. A model is shown the strict form (every field required); what it sends back is
 * read leniently: only what cannot be guessed is required, the rest gets a sensible default.
 */
import { z } from "zod";
import type { OutputSpec } from "./model.ts";
import type { JsonObject } from "./json.ts";

/** What the journal or the workspace must hold for a task to be done. */
export const evidenceSchema = z.union([
  z.object({ tool: z.string().min(1) }),
  z.object({ artifact: z.string().min(1), contains: z.string().nullish() }),
  z.object({ note: z.union([z.string(), z.boolean()]).transform(String) }),
]);
export type Evidence =
  | { readonly tool: string }
  | { readonly artifact: string; readonly contains?: string }
  | { readonly note: string };

/** null, absent and of another type all read as the default: models leave out what they think is obvious. */
const lenient = <Schema extends z.ZodType>(schema: Schema, fallback: z.output<Schema>) =>
  schema
    .nullish()
    .catch(fallback)
    .transform((value) => value ?? fallback);

const readEvidence = z
  .array(z.unknown())
  .nullish()
  .catch([])
  .transform((items) =>
    (items ?? []).flatMap((item): Evidence[] => {
      const read = evidenceSchema.safeParse(item);
      if (!read.success) return [];
      const evidence = read.data;
      if ("artifact" in evidence)
        return [
          evidence.contains
            ? { artifact: evidence.artifact, contains: evidence.contains }
            : { artifact: evidence.artifact },
        ];
      return [evidence];
    }),
  );

const idText = z.union([z.string(), z.number()]).transform(String).pipe(z.string().min(1).max(40));

/** A task is narrow: what does not fit belongs into a file. */
const maxTaskChars = 8000;

export const plannedTaskSchema = z.object({
  id: idText,
  text: z.string().trim().min(1).max(maxTaskChars),
  depends_on: lenient(z.array(idText), []),
  tools: lenient(z.array(z.string()), []),
  evidence: readEvidence,
  difficulty: lenient(z.enum(["easy", "normal", "hard"]), "normal"),
});
export type PlannedTask = z.output<typeof plannedTaskSchema>;

export const planSchema = z.object({
  // Absent is none, but a task that cannot be read makes the plan unreadable: dropping it would drop work.
  tasks: z
    .array(plannedTaskSchema)
    .nullish()
    .transform((tasks) => tasks ?? []),
  done: z.boolean(),
  final_answer: lenient(z.string(), ""),
});
export type Plan = z.output<typeof planSchema>;

export const verdictSchema = z.object({
  status: z.enum(["done", "retry", "split", "abandon"]),
  reason: lenient(z.string(), ""),
  new_tasks: lenient(
    z
      .array(
        z
          .string()
          .trim()
          .min(1)
          .transform((text) => text.slice(0, maxTaskChars).toWellFormed()),
      )
      .max(20),
    [],
  ),
  lesson: lenient(z.string(), ""),
});
export type Verdict = z.output<typeof verdictSchema>;

export const intakeSchema = z.object({
  intent: z.string().min(1),
  entities: lenient(z.array(z.object({ type: z.string(), value: z.string() })), []),
  constraints: lenient(z.array(z.string()), []),
  deliverable: lenient(z.string(), ""),
  risk: lenient(z.string(), ""),
});
export type Intake = z.output<typeof intakeSchema>;

const text = { type: "string" } as const;
const texts = { type: "array", items: text } as const;

/** Strict in the sense of OpenAI's and Anthropic's structured output: every property required, none additional. */
function strict(properties: JsonObject): JsonObject {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

const evidenceOutput = {
  type: "array",
  items: {
    anyOf: [
      strict({ tool: { type: "string", description: "this tool was called with success" } }),
      strict({
        artifact: { type: "string", description: "this file exists in the workspace" },
        contains: { type: ["string", "null"], description: "and holds this text" },
      }),
      strict({ note: { type: "string", description: "a note was written that mentions this; empty for any note" } }),
    ],
  },
} as const;

/** The schemas a model is shown, by the names that DESIGN §8 fixes. */
export const outputSpecs = {
  plan: {
    name: "plan",
    schema: strict({
      tasks: {
        type: "array",
        items: strict({
          id: { type: "string", description: "short and new in this goal: t1, t2, …" },
          text,
          depends_on: texts,
          tools: texts,
          evidence: evidenceOutput,
          difficulty: { type: "string", enum: ["easy", "normal", "hard"] },
        }),
      },
      done: { type: "boolean" },
      final_answer: text,
    }),
  },
  verdict: {
    name: "verdict",
    schema: strict({
      status: { type: "string", enum: ["done", "retry", "split", "abandon"] },
      reason: text,
      new_tasks: texts,
      lesson: text,
    }),
  },
  intake: {
    name: "intake",
    schema: strict({
      intent: text,
      entities: { type: "array", items: strict({ type: text, value: text }) },
      constraints: texts,
      deliverable: text,
      risk: text,
    }),
  },
} as const satisfies Record<string, OutputSpec>;
