import { Option, type Command } from "commander";
import { budgetPeriods, type BudgetPeriod, type TenantBudgetResource } from "@outerloop/core/domain";
import { UserError } from "../exit.ts";
import { printableJson } from "../text/printable.ts";
import { formatCount, formatUsd } from "../text/quantities.ts";
import type { Context, GlobalOptions } from "./context.ts";
import { amount, atLeastZero } from "./option-values.ts";

interface BudgetFlags extends GlobalOptions {
  readonly period?: BudgetPeriod;
  readonly steps?: number;
  readonly tokens?: number;
  readonly usd?: number;
  readonly unlimited?: boolean;
}

/** `budget`: what all goals of the tenant may spend together; with a period and amounts it sets them. */
export function addBudget(program: Command, context: Context): void {
  program
    .command("budget")
    .description("show what all goals together may spend and have spent; with --period, limit it")
    .addOption(new Option("--period <period>", "whose limits to replace, by UTC").choices(budgetPeriods))
    .option("--steps <n>", "model and tool steps together", atLeastZero)
    .option("--tokens <n>", "tokens read and written together", atLeastZero)
    .option("--usd <n>", "dollars that model calls may cost", amount)
    .option("--unlimited", "take the limits of this period away")
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<BudgetFlags>();
      const isGiven = [flags.steps, flags.tokens, flags.usd].some((value) => value !== undefined);
      if (flags.period === undefined && (isGiven || flags.unlimited === true))
        throw new UserError("Of which period? --period day, month or total.");
      if (flags.period !== undefined && isGiven === (flags.unlimited === true))
        throw new UserError("Say what the limit is: --steps, --tokens or --usd; or --unlimited.");
      const { client } = await context.connect(flags);
      const now = await client.budget.get();
      const budget =
        flags.period === undefined ? now : await client.budget.set(replaceLimits(now, flags.period, flags));
      if (flags.json === true) return context.print(printableJson(budget, 2));
      context.print(...budgetLines(budget));
    });
}

/** All limits, with those of one period replaced. */
function replaceLimits(now: TenantBudgetResource, period: BudgetPeriod, flags: BudgetFlags) {
  const kept = Object.fromEntries(
    budgetPeriods.flatMap((each) => {
      const limits = now[each]?.limits;
      return limits === undefined || each === period ? [] : [[each, limits]];
    }),
  );
  if (flags.unlimited === true) return kept;
  return { ...kept, [period]: { steps: flags.steps ?? null, tokens: flags.tokens ?? null, usd: flags.usd ?? null } };
}

/** `day    41 of 200 steps · $0.12 of $5.00, held by goals that go on: 20 steps` */
function budgetLines(budget: TenantBudgetResource): string[] {
  const lines = budgetPeriods.flatMap((period) => {
    const figures = budget[period];
    if (figures === null) return [];
    const { limits, used, held } = figures;
    const of = (name: "steps" | "tokens", limit: number | null) =>
      limit === null ? [] : [`${formatCount(used[name])} of ${formatCount(limit)} ${name}`];
    const parts = [
      ...of("steps", limits.steps),
      ...of("tokens", limits.tokens),
      ...(limits.usd === null ? [] : [`${formatUsd(used.usd)} of ${formatUsd(limits.usd)}`]),
    ];
    const holding = [
      ...(held.steps > 0 ? [`${formatCount(held.steps)} steps`] : []),
      ...(held.tokens > 0 ? [`${formatCount(held.tokens)} tokens`] : []),
      ...(held.usd > 0 ? [formatUsd(held.usd)] : []),
    ];
    return [
      `${period.padEnd(7)}${parts.join(" · ")}${holding.length === 0 ? "" : `, held by goals that go on: ${holding.join(", ")}`}`,
    ];
  });
  return lines.length === 0 ? ["No limits: every goal has its own budget only."] : lines;
}
