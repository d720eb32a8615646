/** What model calls took and cost: one line for each part, the whole last. */
import type { GoalUsageResource, TenantUsageResource, UsageAmounts } from "@outerloop/core/domain";
import { formatCount, formatDuration, formatUsd, plural } from "../text/quantities.ts";
import { printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { tableLines, type Column } from "../text/table.ts";

export function usageLines(usage: GoalUsageResource | TenantUsageResource, style: Style): string[] {
  const { total } = usage;
  if (total.calls === 0) return ["No model was called."];
  const all: readonly UsageAmounts[] = [...usage.rows, total];
  const amounts = (head: string, of: (row: UsageAmounts) => string): Column => ({
    head,
    cells: all.map(of),
    right: true,
  });
  const counts = (head: string, of: (row: UsageAmounts) => number) => amounts(head, (row) => formatCount(of(row)));
  const names = "task" in (usage.rows[0] ?? {}) ? taskNames(usage as GoalUsageResource) : stageNames(usage);
  const [head = "", ...rows] = tableLines([
    ...names,
    counts("calls", (row) => row.calls),
    counts("input", (row) => row.input_tokens),
    ...(total.cached_input_tokens === 0 ? [] : [counts("cached", (row) => row.cached_input_tokens)]),
    counts("output", (row) => row.output_tokens),
    ...(total.reasoning_tokens === 0 ? [] : [counts("reasoning", (row) => row.reasoning_tokens)]),
    amounts("cost", costOf),
    amounts("median", (row) => formatDuration(row.ms)),
    ...(total.first_token_ms === null
      ? []
      : [amounts("first token", (row) => (row.first_token_ms === null ? "" : formatDuration(row.first_token_ms)))]),
  ]);
  const unpriced =
    total.unpriced_calls === 0
      ? []
      : [style.faint(`without ${plural(total.unpriced_calls, "call")} of models whose price is not known`)];
  return [style.faint(head), ...rows.slice(0, -1), style.strong(rows.at(-1) ?? ""), ...unpriced];
}

function taskNames({ rows }: GoalUsageResource): Column[] {
  return [
    { head: "task", cells: [...rows.map(({ task }) => (task === null ? "goal" : printableLine(task))), "total"] },
    { head: "stage", cells: rows.map(({ stage }) => printableLine(stage)) },
    { head: "model", cells: rows.map(({ model }) => printableLine(model)) },
  ];
}

function stageNames({ rows }: Pick<TenantUsageResource, "rows">): Column[] {
  return [
    { head: "model", cells: [...rows.map(({ model }) => printableLine(model)), "total"] },
    { head: "stage", cells: rows.map(({ stage }) => printableLine(stage)) },
  ];
}

/** `≥` where a part of it is not known. */
function costOf({ calls, unpriced_calls, usd }: UsageAmounts): string {
  if (calls === unpriced_calls) return "unknown";
  return `${unpriced_calls === 0 ? "" : "≥ "}${formatUsd(usd)}`;
}
