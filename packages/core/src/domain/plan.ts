/**
 * What models answer with, as schemas. A model is shown the strict form (every field required); what it sends back is
 * read leniently: only what cannot be guessed is required, the rest gets a sensible default.
 */
import { z } from "zod";
import { evidenceList, evidenceOutput } from "./evidence.ts";
import { intakeOutput } from "./intake.ts";
import { lenient, strict, textOutput as text, textsOutput as texts } from "./lenient.ts";
import type { OutputSpec } from "./model.ts";

const idText = z.union([z.string(), z.number()]).transform(String).pipe(z.string().min(1).max(40));

/** A task is narrow: what does not fit belongs into a file. */
const maxTaskChars = 8000;

export const plannedTaskSchema = z.object({
  id: idText,
  text: z.string().trim().min(1).max(maxTaskChars),
  depends_on: lenient(z.array(idText), []),
  tools: lenient(z.array(z.string()), []),
  evidence: evidenceList,
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
  intake: { name: "intake", schema: intakeOutput },
} as const satisfies Record<string, OutputSpec>;
