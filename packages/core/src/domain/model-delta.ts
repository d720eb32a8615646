/** A piece of an answer that a model is writing, as watchers see it: shown and forgotten, never one of the goal's events. */
import { z } from "zod";
import { stages, type TextDelta } from "./model.ts";

const position = z.int().nonnegative();

export const modelDeltaSchema = z.object({
  /** Says that it has no number and never comes again. */
  transient: z.literal(true),
  /** The task's key; null for a planner's call. */
  task: z.string().nullable(),
  stage: z.enum(stages),
  attempt: position,
  /** Of the call's step, which follows as `step.model` where the call succeeds. */
  seq: position,
  /** What kind of JSON is being written; null for prose. */
  output: z.string().nullable(),
  /** Counted from 1 in the call: one that failed is followed by one that begins again. */
  try: position,
  /** Characters (UTF-16) of the answer before this piece; one that is not where the piece before ended follows a gap. */
  offset: position,
  text: z.string(),
});
export type ModelDelta = z.output<typeof modelDeltaSchema>;

/** Which call writes. */
export type WritingCall = Pick<ModelDelta, "task" | "stage" | "attempt" | "seq" | "output">;

/** The text of one call, for those who watch it being written. Never fails the call and never makes it wait. */
export interface CallText {
  onText(delta: TextDelta): void;
  /** The call is over, however it ended: what is left goes at once, ahead of the call's step. */
  end(): void;
}

/** The SSE event that carries one; it has no `id`. */
export const modelDeltaEvent = "model.delta";
