/** Evidence (DESIGN §6): what the journal or the workspace must hold for a task, or a whole goal, to be done. */
import { z } from "zod";
import { readableItems, strict } from "./lenient.ts";

export type Evidence =
  | { readonly tool: string }
  | { readonly artifact: string; readonly contains?: string }
  | { readonly note: string };

/** Of a whole goal: also that its answer cites, so many times at least. */
export type GoalEvidence = Evidence | { readonly citations: number };

/** More is no contract but a plan. */
const maxItems = 20;
const maxChars = 1000;

const toolSchema = z.object({ tool: z.string().min(1).max(maxChars) });
const artifactSchema = z
  .object({ artifact: z.string().min(1).max(maxChars), contains: z.string().max(maxChars).nullish() })
  // As the file tools read a path.
  .transform(({ artifact, contains }) => ({ artifact: artifact.replace(/^(?:\.\/)+/, ""), contains }))
  .transform(({ artifact, contains }) => (contains ? { artifact, contains } : { artifact }));
const noteSchema = z.object({ note: z.union([z.string().max(maxChars), z.boolean()]).transform(String) });
const citationsSchema = z.object({
  citations: z.union([z.int(), z.boolean().transform(Number)]).pipe(z.int().min(1).max(1000)),
});

export const evidenceList = readableItems(z.union([toolSchema, artifactSchema, noteSchema]), maxItems);
export const goalEvidenceList = readableItems(
  z.union([toolSchema, artifactSchema, noteSchema, citationsSchema]),
  maxItems,
);

const itemOutputs = [
  strict({ tool: { type: "string", description: "this tool was called with success" } }),
  strict({
    artifact: { type: "string", description: "this file exists in the workspace" },
    contains: { type: ["string", "null"], description: "and holds this text" },
  }),
  strict({ note: { type: "string", description: "a note was written that mentions this; empty for any note" } }),
];

export const evidenceOutput = { type: "array", items: { anyOf: itemOutputs } } as const;

export const goalEvidenceOutput = {
  type: "array",
  items: {
    anyOf: [
      ...itemOutputs,
      strict({ citations: { type: "integer", description: "the final answer has at least so many citations" } }),
    ],
  },
} as const;
