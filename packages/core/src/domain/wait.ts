/**
 * Waits: what a task sleeps on, holding no slot, no connection and no memory. A wait belongs to one tool call of one attempt,
 * has a deadline, and says what happens then.
 */
import { z } from "zod";
import type { TaskId, WaitId } from "./ids.ts";
import type { JsonObject } from "./json.ts";

export const waitKinds = ["timer", "signal", "approval", "outcome"] as const;
/**
 * - `timer`: until an instant.
 * - `signal`: until somebody says a name to the goal.
 * - `approval`: until a person says whether an external call may run.
 * - `outcome`: until a person says whether an external call, cut off in the middle, has happened.
 */
export type WaitKind = (typeof waitKinds)[number];

/** `continue`: the model is told that nothing came; `reject`: as if a person had said no; `fail`: the task fails. */
export type OnDeadline = "continue" | "reject" | "fail";

/** What a tool asks its task to sleep on, as data. A year and a day bounds every wait. */
export type WaitRequest =
  | { readonly kind: "timer"; readonly name: string; readonly until: string }
  | { readonly kind: "timer"; readonly name: string; readonly forMs: number }
  | {
      readonly kind: "signal";
      readonly name: string;
      readonly forMs: number;
      readonly onDeadline: Extract<OnDeadline, "continue" | "fail">;
    };

export const maxWaitMs = 366 * 24 * 3_600_000;

export const approvalDecisions = ["approve", "edit", "reject"] as const;
export const outcomeDecisions = ["happened", "run_again", "reject"] as const;

/** How a wait ended. */
export const resolutionSchema = z.discriminatedUnion("by", [
  z.object({ by: z.literal("deadline") }),
  z.object({ by: z.literal("signal"), payload: z.unknown(), at: z.string() }),
  z.object({
    by: z.literal("person"),
    decision: z.enum([...approvalDecisions, ...outcomeDecisions]),
    /** What runs instead of what was asked, where a person edited it. */
    args: z
      .custom<JsonObject>((value) => typeof value === "object" && value !== null && !Array.isArray(value))
      .optional(),
    /** What the model reads of why. */
    reason: z.string().optional(),
    /** What the model reads as the call's result, where it happened. */
    result: z.string().optional(),
    principal: z.string(),
    at: z.string(),
  }),
]);
export type Resolution = z.output<typeof resolutionSchema>;

export interface Wait {
  readonly id: WaitId;
  readonly taskId: TaskId;
  readonly attempt: number;
  readonly seq: number;
  readonly kind: WaitKind;
  readonly name: string;
  /** What a person decides about. */
  readonly subject: JsonObject;
  /** Of exactly what runs when it is approved. */
  readonly hash: string | null;
  readonly deadlineAt: Date;
  readonly onDeadline: OnDeadline;
  /** null while it is open. */
  readonly resolution: Resolution | null;
}

/** What the model reads when its own wait is over, or why its task fails. */
export function answerOfWait(
  wait: Wait,
  resolution: Resolution,
):
  | { readonly kind: "answer"; readonly ok: boolean; readonly text: string }
  | { readonly kind: "fail"; readonly reason: string } {
  switch (resolution.by) {
    case "signal":
      return {
        kind: "answer",
        ok: true,
        text: `The signal "${wait.name}" came at ${resolution.at}.${resolution.payload === null || resolution.payload === undefined ? "" : ` It says: ${JSON.stringify(resolution.payload)}`}`,
      };
    case "deadline":
      if (wait.kind === "timer")
        return { kind: "answer", ok: true, text: `The wait is over: ${wait.deadlineAt.toISOString()} has passed.` };
      return wait.onDeadline === "fail"
        ? { kind: "fail", reason: `no signal "${wait.name}" came by ${wait.deadlineAt.toISOString()}` }
        : {
            kind: "answer",
            ok: false,
            text: `No signal "${wait.name}" came by ${wait.deadlineAt.toISOString()}. Go on without it.`,
          };
    case "person":
      return {
        kind: "answer",
        ok: false,
        text: `The wait was ended by a person: ${resolution.reason ?? resolution.decision}.`,
      };
  }
}
