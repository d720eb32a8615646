/** What a goal's text is understood to ask for, before anything is planned. Kept with the goal and told to every later stage. */
import { z } from "zod";
import { goalEvidenceList, goalEvidenceOutput } from "./evidence.ts";
import { lenient, readableItems, strict, textOutput, textsOutput } from "./lenient.ts";

/** It rides in every prompt and every claim of its goal. */
const maxItems = 20;
const maxChars = 1000;
const maxEntityChars = 200;
/** More than this nobody answers. */
export const maxAmbiguities = 3;

const clippedTo = (chars: number) => z.string().transform((text) => text.trim().slice(0, chars).toWellFormed());
const clipped = clippedTo(maxChars);
const named = clippedTo(maxEntityChars).pipe(z.string().min(1));

export const intakeSchema = z.object({
  intent: clipped.pipe(z.string().min(1)),
  entities: readableItems(z.object({ type: clippedTo(maxEntityChars), value: named }), maxItems),
  constraints: readableItems(clipped.pipe(z.string().min(1)), maxItems),
  deliverable: lenient(clipped, ""),
  risk: lenient(clipped, ""),
  /** What must be there at the end, whatever a model says. */
  evidence: goalEvidenceList,
  /** What the text leaves open and would change the work, each with what is assumed where nobody is asked. */
  questions: readableItems(
    z.object({ question: clipped.pipe(z.string().min(1)), default: clipped.pipe(z.string().min(1)) }),
    maxAmbiguities,
  ),
});
export type Intake = z.output<typeof intakeSchema>;

export const intakeOutput = strict({
  intent: textOutput,
  entities: { type: "array", items: strict({ type: textOutput, value: textOutput }) },
  constraints: textsOutput,
  deliverable: textOutput,
  risk: textOutput,
  evidence: goalEvidenceOutput,
  questions: { type: "array", items: strict({ question: textOutput, default: textOutput }) },
});
