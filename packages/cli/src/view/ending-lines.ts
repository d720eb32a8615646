/** How a run ends on the screen: the answer, one line of figures, and what a person can do next. */
import type { GoalResource, GoalSummary } from "@outerloop/core/domain";
import { printableBlock, printableLine } from "../text/printable.ts";
import { formatDuration, formatUsd, plural } from "../text/quantities.ts";
import type { Style } from "../text/style.ts";
import { wrapLabelled, wrapText } from "../text/wrap.ts";

export interface Ended {
  readonly goal: GoalSummary;
  /** As it is shown to people. */
  readonly shortId: string;
  /** Models that were asked, `provider/model`. */
  readonly models: readonly string[];
}

export function answerLines(goal: GoalSummary, width: number, style: Style): string[] {
  const answer = goal.final_answer?.trim() ?? "";
  if (answer === "" || answer === goal.detail?.trim()) return [];
  return [
    style.strong(goal.status === "succeeded" ? "Answer" : "So far"),
    ...wrapText(printableBlock(answer), width, "  "),
  ];
}

/** `succeeded  41 steps · 9 citations, 9 hold · $0 · 6 s` */
export function outcomeLine(goal: GoalSummary, style: Style): string {
  const { total, holding } = goal.citations ?? { total: 0, holding: 0 };
  const parts = [
    plural(goal.usage.steps, "step"),
    ...(total > 0 ? [`${plural(total, "citation")}, ${holding === 1 ? "1 holds" : `${holding} hold`}`] : []),
    formatUsd(goal.usage.usd),
    ...(goal.ended_at === null ? [] : [formatDuration(Date.parse(goal.ended_at) - Date.parse(goal.created_at))]),
  ];
  const word = goal.status === "succeeded" ? style.good(goal.status) : style.bad(goal.status);
  return `${word}  ${parts.join(" · ")}`;
}

/** Why it did not succeed, and what would help; nothing for a goal that did. */
export function reasonLines({ goal, shortId, models }: Ended, width: number): string[] {
  if (goal.status === "succeeded") return [];
  const why = printableBlock(goal.detail?.trim() || "");
  const reason = goal.reason === null ? "" : printableLine(goal.reason);
  const explained = [reason, why].filter((part) => part !== "").join(": ");
  const help = helpFor(goal, shortId, models);
  return [
    ...(explained === "" ? [] : wrapLabelled("Reason   ", explained, width)),
    ...(help === null ? [] : wrapLabelled("Try      ", help, width)),
  ];
}

function helpFor(goal: GoalSummary, shortId: string, models: readonly string[]): string | null {
  // It goes on where it was, with what it has.
  const more = (option: string, other = "") => {
    const own = goal.detail?.startsWith("The tenant's") === true ? "" : ` ${option}`;
    return `npx outerloop resume ${shortId}${own}${other === "" ? "" : `, ${other}`}`;
  };
  switch (goal.reason) {
    case "step_budget":
      return more(`--steps ${goal.budget.steps * 2}`, "or a narrower goal");
    case "wall_budget":
      return more(
        `--wall ${formatDuration(goal.budget.wall_ms * 2)
          .replaceAll(" ", "")
          .replaceAll("min", "m")}`,
      );
    case "token_budget":
      return more(`--tokens ${goal.budget.tokens * 2}`, "or a narrower goal");
    case "cost_budget":
      return goal.usage.usd === null
        ? "a model whose price is known, or no --budget-usd: the cost of these calls cannot be told"
        : more(`--usd ${(goal.budget.usd ?? 0) * 2}`);
    case "unsupported":
      return models.every((model) => model.startsWith("offline/"))
        ? "a real model: OPENAI_API_KEY=… or ANTHROPIC_API_KEY=… or OPENAI_BASE_URL=http://localhost:11434/v1"
        : "another goal, or a skill that can do this";
    case "no_evidence":
      return "attach what it needs, or ask for less; what was missing stands above";
    case "drift":
    case "thrash":
    case "stalled":
      return "a narrower goal, or --ask, so that it asks you instead of ending";
    case "error":
      return `npx outerloop show ${shortId} tells what happened`;
    default:
      return null;
  }
}

/** What is left for the user's eyes: `Report`, `Files`, `Why?`. */
export function pointerLines(shortId: string, saved: readonly string[], footer: readonly string[]): string[] {
  const [main, ...others] = saved.toSorted((a, b) => reportRank(a) - reportRank(b));
  return [
    ...(main === undefined ? [] : [`${reportRank(main) < 2 ? "Report" : "File  "}   ${printableLine(main)}`]),
    ...others.map((path) => `         ${printableLine(path)}`),
    `Why?     npx outerloop show ${shortId}`,
    ...footer,
  ];
}

function reportRank(path: string): number {
  if (/(^|\/)report\.md$/i.test(path)) return 0;
  return path.endsWith(".md") ? 1 : 2;
}

/** `Goal g_7k2  budget 200 steps · 1 h · http://127.0.0.1:4000` */
export function goalLine(goal: GoalResource | GoalSummary, shortId: string, baseUrl: string): string {
  const { steps, wall_ms: wallMs, usd } = goal.budget;
  return `Goal ${shortId}  budget ${[plural(steps, "step"), formatDuration(wallMs), ...(usd === null ? [] : [formatUsd(usd)]), printableLine(baseUrl)].join(" · ")}`;
}
