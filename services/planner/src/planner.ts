/** The planner's worker: claims a goal that wants a plan, and gives it back with tasks, a question, or the goal's end. */
import {
  failpoint,
  traceIdOf,
  workClaim,
  type ClaimedGoal,
  type GoalWrite,
  type JobPayload,
  type Retry,
  type Run,
  type StageHandler,
  type StageRuntime,
  type WorkEnd,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";
import { Planning } from "./planning.ts";

const isolatedMain = new URL("./isolated.ts", import.meta.url);

export function createPlanner(runtime: StageRuntime, registry: Registry): StageHandler {
  return {
    async claim(payload: JobPayload): Promise<readonly Run[]> {
      const claim = await runtime.claimer.claimGoal(payload.goal);
      if (claim === undefined) return [];
      failpoint("plan.claimed");
      return [(draining) => runPlan(runtime, registry, claim, draining)];
    },
    async takeUp(id, fence) {
      const claim = await runtime.store.takeUpGoal({ kind: "goal", id, fence }, runtime.lease);
      return claim === undefined ? null : (draining) => runPlan(runtime, registry, claim, draining);
    },
  };
}

function runPlan(
  runtime: StageRuntime,
  registry: Registry,
  claim: ClaimedGoal,
  draining: AbortSignal,
): Promise<string | null> {
  const { goal, fence } = claim;
  const log = runtime.log.child({ trace: traceIdOf(goal.id), goal: goal.id, round: goal.planRound + 1, fence });
  const giveUp = (detail: string): GoalWrite => ({
    id: runtime.createId("write"),
    goal: goal.id,
    fence,
    end: { to: "failed", reason: "error", detail, force: true },
  });
  const release = (retry: Exclude<Retry, "never">): GoalWrite => ({
    id: runtime.createId("write"),
    goal: goal.id,
    fence,
    release: { due_in_ms: runtime.awayMs(retry, claim.backoffs) },
    backoff: true,
  });
  const plan = async (lost: AbortSignal): Promise<WorkEnd> => {
    const failure = await new Planning(runtime, registry, claim, lost).run(draining);
    return { outcome: failure === null ? "moved" : "failed", failure };
  };
  const work = { goal: goal.id, attempt: goal.planRound + 1, expiredClaims: claim.row.expired_claims, isolatedMain };
  return workClaim(
    runtime,
    { stage: "plan", kind: "goal", id: goal.id, fence, ...work, log, giveUp, release },
    plan,
    draining,
  );
}
