/** What a worker and the child process that runs one claim for it tell one another. Ids and words, no content. */
import { z } from "zod";
import type { LeaseId } from "../domain/ids.ts";

/** To the child. */
export const toChildSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("work"),
    /** Of the row that is claimed: a task, or a goal for its planner. */
    id: z.string(),
    fence: z.int(),
    lease: z.string().transform((id) => id as LeaseId),
  }),
  /** Finish the running step, hand the rest back, go. */
  z.object({ kind: z.literal("drain") }),
]);
export type ToChild = z.input<typeof toChildSchema>;

/** From the child. */
export const fromChildSchema = z.discriminatedUnion("kind", [
  /** From here on its end is the work's doing: what could fail before was ours. */
  z.object({ kind: z.literal("began") }),
  /** The work is over and committed; `failure` is for people. */
  z.object({ kind: z.literal("ended"), failure: z.string().nullable() }),
]);
export type FromChild = z.input<typeof fromChildSchema>;
