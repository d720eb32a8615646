/** Which external calls wait for a person. Until policy says otherwise, every one does. */
import type { JsonObject } from "./json.ts";
import type { OnDeadline } from "./wait.ts";

export interface ApprovalPolicy {
  /** Tools whose calls run without asking. */
  readonly autoApprove: "all" | ReadonlySet<string>;
  /** Changes when the policy does; an approval under another one does not hold. */
  readonly version: string;
  /** How long a call waits for a decision. */
  readonly deadlineMs: number;
  readonly onDeadline: Extract<OnDeadline, "reject" | "fail">;
}

/** @param names as set: tool names, or `*` for all */
export function createApprovalPolicy(
  names: readonly string[],
  deadlineMs: number,
  onDeadline: ApprovalPolicy["onDeadline"],
): ApprovalPolicy {
  const listed = [...new Set(names)].toSorted();
  return {
    autoApprove: listed.includes("*") ? "all" : new Set(listed),
    version: `auto:${listed.join(",")}`,
    deadlineMs,
    onDeadline,
  };
}

/** Exactly what an approval is bound to. */
export interface ApprovedCall {
  readonly tool: string;
  readonly version: string;
  readonly args: JsonObject;
  readonly policy: string;
}
