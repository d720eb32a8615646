/** Questions to a goal's submitter: who is asked what, and the answer. The planner asks in a commit; the deadline answers in `fire_due_waits`. */
import { sql } from "kysely";
import { hasGoalEnded, type GoalStatus } from "../domain/goal.ts";
import type { GoalId } from "../domain/ids.ts";
import type { Principal } from "../domain/principal.ts";
import type { Db, Trx } from "./database.ts";
import type { GoalRow, QuestionRecord } from "./rows.ts";
import { steer, type Steered } from "./steer.ts";

/** The one that a goal waits for; undefined where it waits for none. Served by the index of open questions. */
export function findOpenQuestion(trx: Trx, principal: Principal, goalId: GoalId): Promise<QuestionRecord | undefined> {
  return trx
    .selectFrom("questions")
    .selectAll()
    .where("goal_id", "=", goalId)
    .where("tenant_id", "=", principal.tenantId)
    .where("status", "=", "open")
    .executeTakeFirst();
}

export interface NewAnswer {
  /** Which question is meant; null for the open one. */
  readonly question: string | null;
  readonly text: string;
  readonly by: string;
}

/** Answers once; the goal goes on in the same commit. The same answer to the same question again changes nothing. */
export async function answerQuestion(
  db: Db,
  principal: Principal,
  goalId: GoalId,
  answer: NewAnswer,
): Promise<Steered> {
  return steer(db, principal, goalId, async (trx, goal): Promise<Steered> => {
    const open = await findOpenQuestion(trx, principal, goalId);
    if (open === undefined || (answer.question !== null && answer.question !== open.id))
      return notOpen(trx, goal, answer);
    await sql`SELECT answer_question(${goalId}, ${open.id}, ${answer.text}, ${answer.by})`.execute(trx);
    const moved = await trx.selectFrom("goals").selectAll().where("id", "=", goalId).executeTakeFirstOrThrow();
    return { kind: "moved", goal: moved };
  });
}

async function notOpen(trx: Trx, goal: GoalRow, answer: NewAnswer): Promise<Steered> {
  if (answer.question !== null) {
    const asked = await trx
      .selectFrom("questions")
      .selectAll()
      .where("id", "=", answer.question)
      .where("goal_id", "=", goal.id)
      .executeTakeFirst();
    if (asked?.status === "answered")
      return asked.answer === answer.text
        ? { kind: "unchanged", goal }
        : {
            kind: "refused",
            goal,
            why: `question ${asked.id} was answered already, ${asked.answered_by === null ? "by its default when its deadline passed" : `by ${asked.answered_by}`}: ${asked.answer}`,
          };
  }
  const ended = hasGoalEnded(goal.status as GoalStatus);
  return {
    kind: "refused",
    goal,
    why: ended ? `goal ${goal.id} has already ${goal.status}` : `goal ${goal.id} asks nothing now`,
  };
}
