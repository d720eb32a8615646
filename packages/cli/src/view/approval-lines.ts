/** One approval as a person decides about it: exactly what will run, and what to type. */
import type { ApprovalResource } from "@outerloop/core/domain";
import { printableBlock, printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { wrapText } from "../text/wrap.ts";

/** Lines of arguments that are shown; the rest is in --json. */
const maxArgLines = 30;

export function approvalLines(approval: ApprovalResource, width: number, style: Style): string[] {
  const args = JSON.stringify(approval.args, null, 2);
  const lines = wrapText(printableBlock(args), width - 4, "    ");
  const more = lines.length - maxArgLines;
  return [
    `${style.strong(approval.id)}  ${printableLine(approval.tool)}  ${style.faint(`goal ${approval.goal}, task ${printableLine(approval.task.key)}, until ${approval.deadline_at.slice(0, 16).replace("T", " ")} UTC`)}`,
    ...(approval.kind === "outcome"
      ? wrapText(
          `Cut off in the middle${approval.sent_at === null ? "" : ` at ${approval.sent_at}`}: nobody knows whether it happened${approval.idempotency_key === null ? "" : ` (key ${approval.idempotency_key})`}.`,
          width - 2,
          "  ",
        )
      : []),
    ...(approval.same_call === null
      ? []
      : wrapText(
          `Task ${printableLine(approval.same_call.task)} has made this call already (${approval.same_call.status === "done" ? "done" : "it may have happened"}, ${approval.same_call.at}): approving does it again.`,
          width - 2,
          "  ",
        )),
    ...lines.slice(0, maxArgLines),
    ...(more > 0 ? [style.faint(`    … ${more} more lines: --json shows all`)] : []),
    style.faint(
      approval.kind === "approval"
        ? `  npx outerloop approve ${approval.id} [--args '{…}']   |   npx outerloop reject ${approval.id} --reason "…"`
        : `  npx outerloop happened ${approval.id} [--result "…"]   |   npx outerloop run-again ${approval.id}   |   npx outerloop reject ${approval.id}`,
    ),
  ];
}
