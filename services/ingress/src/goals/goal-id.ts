/** Goals are named by their id or the beginning of it. */
import { OuterloopError, resolveGoalId, type Db, type GoalId, type Principal } from "@outerloop/core";

const fullId = /^g_[0-9a-z]{16}$/;

/** For calls that find out themselves whether there is such a goal. */
export async function goalIdOf(db: Db, principal: Principal, given: string): Promise<GoalId> {
  return fullId.test(given) ? (given as GoalId) : resolveGoalId(db, principal, given);
}

export function noSuchGoal(id: string): OuterloopError {
  return new OuterloopError("not_found", `There is no goal ${id}.`);
}
