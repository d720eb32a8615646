/** What a goal asks its submitter, and what becomes of it. */
import type { QuestionRow } from "@outerloop/core";
import type { GoalBook, ModelQuestion } from "./rows.ts";
import { appendEvents, dueUnlessPaused, moveGoalTo, settleSleep, StoreFault, type Tables } from "./tables.ts";

/** The goal waits. The planner is asked again when the answer is there: what was wanted of it stays wanted. */
export function askQuestion(tables: Tables, book: GoalBook, ask: QuestionRow): void {
  const { goal } = book;
  if (book.questions.some((each) => each.status === "open")) throw new StoreFault(`goal ${goal.id} asks already`);
  const now = tables.now();
  const question: ModelQuestion = {
    id: ask.id,
    tenant_id: goal.tenant_id,
    goal_id: goal.id,
    about: ask.about,
    text: ask.text,
    default_answer: ask.default,
    status: "open",
    deadline_at: now + ask.for_ms,
    answer: null,
    answered_by: null,
    asked_at: now,
    answered_at: null,
  };
  book.questions.push(question);
  moveGoalTo(goal, "waiting");
  const { id, about, text, default_answer, deadline_at } = question;
  appendEvents(book, [{ type: "goal.asked", data: { id, about, text, default: default_answer, deadline_at } }]);
}

/** @param by null: its deadline */
export function answerOpenQuestion(
  tables: Tables,
  book: GoalBook,
  question: ModelQuestion,
  answer: string,
  by: string | null,
): void {
  const { goal } = book;
  const now = tables.now();
  Object.assign(question, { status: "answered", answer, answered_by: by, answered_at: now });
  const { id, about, text } = question;
  goal.clarifications = [
    ...(goal.clarifications as readonly unknown[]),
    { about, question: text, answer, by, at: new Date(now).toISOString() },
  ];
  if (goal.status === "waiting") moveGoalTo(goal, "running");
  else if (goal.paused_from === "waiting") goal.paused_from = "running";
  goal.plan_wanted = Math.max(goal.plan_wanted, 1);
  goal.dispatched_at = null;
  goal.due_at = dueUnlessPaused(goal.due_at, now);
  appendEvents(book, [{ type: "goal.answered", data: { id, about, answer, by } }]);
  settleSleep(tables, book);
}

/** Nobody is asked about a goal that has ended. */
export function withdrawQuestions(tables: Tables, { questions }: GoalBook): void {
  for (const question of questions)
    if (question.status === "open") Object.assign(question, { status: "withdrawn", answered_at: tables.now() });
}
