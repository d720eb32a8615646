/** What a goal says when it ends without a plan's final answer: put together from what is done, without a model (DESIGN §6). */
import type { BudgetReason, ClaimedGoal, TaskInGoal } from "@outerloop/core";

const maxResultChars = 1500;

export function composeEnding(tasks: readonly TaskInGoal[], why: string): { readonly answer: string } {
  const done = tasks.filter((each) => each.task.status === "done");
  // What an earlier end of this goal cancelled and a later plan has done is done.
  const texts = new Set(done.map((each) => each.task.text));
  const open = tasks.filter((each) => !["done", "split"].includes(each.task.status) && !texts.has(each.task.text));
  const lines = [why];
  if (done.length > 0)
    lines.push(
      "",
      "Done so far:",
      ...done.map(
        (each) =>
          `- ${each.task.key} ${firstLine(each.task.text)}\n  ${(each.task.result ?? "").slice(0, maxResultChars).replaceAll("\n", "\n  ")}`,
      ),
    );
  if (open.length > 0)
    lines.push(
      "",
      "Not done:",
      ...open.map((each) => `- ${each.task.key} ${firstLine(each.task.text)} (${whyOpen(each.task)})`),
    );
  return { answer: lines.join("\n") };
}

/** `goal_ended` is the store's word. */
const whyOpen = ({ reason, status }: TaskInGoal["task"]) =>
  reason === "goal_ended" ? "cut off by a budget" : (reason ?? status);

const firstLine = (text: string) => text.split("\n")[0] ?? "";

/** For people: whose budget it is, and what helps. */
export function describeExhausted(
  reason: BudgetReason,
  row: Pick<ClaimedGoal["row"], "exhausted_period" | "cost_unknown">,
): string {
  const budget = reason.replace("_", " ");
  if (reason === "cost_budget" && row.cost_unknown)
    return "The price of its model is not known, so a budget in money cannot be kept.";
  switch (row.exhausted_period) {
    case null:
      return `The goal's ${budget} is spent.`;
    case "total":
      return `The tenant's ${budget} is spent. The goal can be resumed when an admin has raised it.`;
    default:
      return `The tenant's ${budget} of this ${row.exhausted_period} is spent. The goal can be resumed when the next ${row.exhausted_period} has begun or an admin has raised it.`;
  }
}
