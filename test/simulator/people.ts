/** People: they submit, pause, resume, cancel, signal, decide, answer, retry and give more budget, whenever they like. */
import type { Decision } from "@outerloop/core";
import * as model from "./model/people.ts";
import type { ModelQuestion } from "./model/rows.ts";
import type { Tables } from "./model/tables.ts";
import type { Random } from "./random.ts";
import { signalNames } from "./provider.ts";

/** One thing that somebody does, as data, so that it can be done to the real store too. */
export type Deed =
  | { readonly do: "submit"; readonly input: model.NewGoalInput }
  | { readonly do: "cancel" | "pause" | "retry"; readonly goal: string }
  | {
      readonly do: "resume";
      readonly goal: string;
      readonly more: Readonly<Partial<Record<"steps" | "wallMs" | "tokens" | "microUsd", number>>>;
    }
  | { readonly do: "signal"; readonly goal: string; readonly signal: model.GivenSignal }
  | { readonly do: "decide"; readonly goal: string; readonly wait: string; readonly decision: Decision }
  | { readonly do: "answer"; readonly goal: string; readonly answer: model.GivenAnswer };

export function perform(tables: Tables, deed: Deed): model.Answer {
  switch (deed.do) {
    case "submit":
      model.submitGoal(tables, deed.input);
      return "moved";
    case "cancel":
      return model.cancelGoal(tables, deed.goal);
    case "pause":
      return model.pauseGoal(tables, deed.goal);
    case "retry":
      return model.retryGoal(tables, deed.goal);
    case "resume":
      return model.resumeGoal(tables, deed.goal, deed.more);
    case "signal":
      return model.signalGoal(tables, deed.goal, deed.signal);
    case "decide":
      return model.decideApproval(tables, deed.wait, deed.decision);
    case "answer":
      return model.answerQuestion(tables, deed.goal, deed.answer);
  }
}

/** Something that somebody may do now; undefined where there is nothing to do it to. */
export function chooseDeed(tables: Tables, random: Random): Deed | undefined {
  const books = [...tables.books.values()];
  const open = books.flatMap((book) =>
    book.waits.filter((wait) => wait.status === "open" && (wait.kind === "approval" || wait.kind === "outcome")),
  );
  // Who has much to decide does not do much else.
  if (open.length > 0 && random.chance(0.75)) return decide(random, random.pick(open));
  const asked = books.flatMap((book) => book.questions);
  const unanswered = asked.filter((question) => question.status === "open");
  if (unanswered.length > 0 && random.chance(0.4)) return answer(random, random.pick(unanswered));
  // Late, again, or to what was withdrawn.
  if (asked.length > 0 && random.chance(0.1)) return answer(random, random.pick(asked));
  if (books.length === 0) return undefined;
  const { goal, tasks } = random.pick(books);
  const kind = random.int(0, 99);
  if (kind < 8) return { do: "pause", goal: goal.id };
  if (kind < 30)
    return { do: "resume", goal: goal.id, more: random.chance(0.5) ? {} : moreFor(random, goal.budget_steps) };
  if (kind < 32) return { do: "cancel", goal: goal.id };
  if (kind < 45) return { do: "retry", goal: goal.id };
  const task = random.chance(0.2) && tasks.length > 0 ? random.pick(tasks).id : null;
  const payload = random.chance(0.5) ? null : { said: random.int(1, 9) };
  const key = random.chance(0.3) ? `key${random.int(1, 3)}` : null;
  return { do: "signal", goal: goal.id, signal: { name: random.pick(signalNames), payload, task, key } };
}

export function decide(
  random: Random,
  wait: { readonly id: string; readonly goal_id: string; readonly kind: string; readonly subject: unknown },
): Deed {
  const given = { do: "decide", goal: wait.goal_id, wait: wait.id } as const;
  if (wait.kind === "outcome") {
    const said = random.pick(["happened", "run_again", "reject"] as const);
    return { ...given, decision: { decision: said } };
  }
  if (random.chance(0.7)) return { ...given, decision: { decision: "approve" } };
  if (random.chance(0.5))
    return { ...given, decision: { decision: "reject", ...(random.chance(0.5) && { reason: "no" }) } };
  return { ...given, decision: { decision: "edit", args: { n: `edited${random.int(1, 3)}` } } };
}

/** Few words, so that the same answer comes twice now and then. */
export function answer(random: Random, question: Pick<ModelQuestion, "id" | "goal_id">): Deed {
  const text = random.pick(["go on", "go on", "try the harbour", "stop", "No."]);
  return {
    do: "answer",
    goal: question.goal_id,
    answer: { question: random.chance(0.7) ? question.id : null, text },
  };
}

/** More than any goal begins with. */
export const moreFor = (random: Random, steps: number) => ({
  steps: steps + random.int(10, 60),
  tokens: 3_000_000,
  wallMs: 4 * 3_600_000,
});
