/** What model calls took and cost: one line for each part, the whole last. */
import type { GoalUsageResource, TenantUsageResource, UsageAmounts } from "@outerloop/core/domain";
import { formatCount, formatDuration, formatUsd, plural } from "../text/quantities.ts";
import { printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { padEnd, widthOf } from "../text/width.ts";

export function usageLines(usage: GoalUsageResource | TenantUsageResource, style: Style): string[] {
  if (usage.total.calls === 0) return ["No model was called."];
  const rows = usage.rows.map((row) => ({
    name: [...("task" in row ? [row.task ?? "plan"] : []), row.stage, row.model].map(printableLine).join("  "),
    row,
  }));
  const width = Math.max(5, ...rows.map(({ name }) => widthOf(name)));
  return [
    ...rows.map(({ name, row }) => `${padEnd(name, width)}  ${amountsOf(row)}`),
    style.strong(`${padEnd("total", width)}  ${amountsOf(usage.total)}`),
  ];
}

function amountsOf(amounts: UsageAmounts): string {
  const cost = amounts.calls === amounts.unpriced_calls ? "cost unknown" : formatUsd(amounts.usd);
  const first = amounts.first_token_ms === null ? "" : ` (first token ${formatDuration(amounts.first_token_ms)})`;
  return [
    plural(amounts.calls, "call"),
    `${formatCount(amounts.input_tokens)} in${amounts.cached_input_tokens === 0 ? "" : `, ${formatCount(amounts.cached_input_tokens)} cached`}`,
    `${formatCount(amounts.output_tokens)} out${amounts.reasoning_tokens === 0 ? "" : `, ${formatCount(amounts.reasoning_tokens)} reasoning`}`,
    cost +
      (amounts.unpriced_calls === 0 || cost === "cost unknown"
        ? ""
        : ` and ${plural(amounts.unpriced_calls, "call")} of unknown price`),
    `median ${formatDuration(amounts.ms)}${first}`,
  ].join(" · ");
}
