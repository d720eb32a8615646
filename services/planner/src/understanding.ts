/** Intake, once a goal and before its first plan: its text is read for what it asks, and its submitter asked what it leaves open. */
import {
  callNeeds,
  feasibleIntake,
  intakeRequest,
  intakeSchema,
  OuterloopError,
  plainIntake,
  settleBilled,
  type Conversation,
  type GoalChange,
  type Intake,
  type ModelRequest,
  type NewEvent,
  type ToolSpec,
} from "@outerloop/core";
import type { Material } from "./material.ts";
import { mayGoOn, type PlanClaim } from "./plan-claim.ts";

/**
 * @param nextRequest what is asked after it: what that call needs is held by the same commit
 * @returns whether the claim goes on; `claim.goal` has its intake then
 */
export async function understand(
  claim: PlanClaim,
  material: Material,
  tools: readonly ToolSpec[],
  nextRequest: () => ModelRequest,
): Promise<boolean> {
  const { goal, runtime } = claim;
  if (goal.intake !== null || goal.planRound > 0 || !runtime.config.intake) return true;
  const conversation = claim.converse(intakeRequest({ goal, ...material, tools }), intakeSchema, "intake", 0);
  const keep = (intake: Intake, unread: string | null, journal: GoalChange) =>
    keepIntake(claim, feasibleIntake(intake, new Set(tools.map((tool) => tool.name))), unread, journal, nextRequest);
  // Ends: an answer that cannot be read is sent back `maxRepairs` times, then done without.
  for (let tries = 0; ; tries += 1) {
    const answered = await askOrNot(claim, conversation);
    if (answered.kind === "none") {
      await claim.giveBack(answered.committed);
      return false;
    }
    // Only the plan needs a model that answers.
    if (answered.kind === "refused")
      return keep(plainIntake(goal), answered.thrown.message, { settle: settleBilled(answered.thrown) });
    const { read, journal } = answered;
    if (read.ok) return keep(read.value, null, journal);
    if (tries >= conversation.maxRepairs) return keep(plainIntake(goal), read.why, journal);
    const committed = await claim.commit({ ...journal, reserve: 1 });
    if (!mayGoOn(committed)) {
      await claim.giveBack(committed);
      return false;
    }
    conversation.sendBack(read.why);
  }
}

/** What no try can mend is an answer too. */
async function askOrNot<Value>(claim: PlanClaim, conversation: Conversation<Value>) {
  try {
    return await conversation.ask();
  } catch (thrown) {
    if (claim.lost.aborted || !(thrown instanceof OuterloopError) || thrown.retry !== "never") throw thrown;
    return { kind: "refused", thrown } as const;
  }
}

async function keepIntake(
  claim: PlanClaim,
  intake: Intake,
  unread: string | null,
  journal: GoalChange,
  nextRequest: () => ModelRequest,
): Promise<boolean> {
  const understood: NewEvent = { type: "goal.understood", data: { ...intake, ...(unread !== null && { unread }) } };
  const change: GoalChange = { ...journal, intake, events: [...(journal.events ?? []), understood] };
  if (intake.questions.length > 0 && claim.mayAsk()) {
    const asked = intake.questions.map((each) => each.question).join("\n");
    const assumed = intake.questions.map((each) => each.default).join("\n");
    await claim.commit({ ...change, ask: claim.question("intake", asked, assumed) });
    return false;
  }
  claim.goal = { ...claim.goal, intake };
  const needs = callNeeds(nextRequest(), claim.runtime.models.price("plan", claim.caller));
  const committed = await claim.commit({
    ...change,
    reserve: 1,
    hold: {
      tokens: needs.tokens,
      need_tokens: 0,
      micro_usd: claim.held.money ? (needs.microUsd ?? 0) : 0,
      need_micro_usd: 0,
    },
  });
  if (mayGoOn(committed)) return true;
  await claim.giveBack(committed);
  return false;
}
