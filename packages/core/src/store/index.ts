export * from "./artifacts.ts";
export { callerOf, overridesOf } from "./caller.ts";
export { type CurrentClaim } from "./fences.ts";
export {
  claimGoal,
  claimTasks,
  claimWork,
  createClaimer,
  dispatchDue,
  listOwnClaims,
  releaseOwnClaim,
  takeUpGoal,
  takeUpTask,
  loadSteps,
  type Claimed,
  type ClaimedGoal,
  type ClaimedTask,
  type Claimer,
  type ClaimRequest,
  type OwnClaim,
  type TaskClaims,
} from "./claims.ts";
export * from "./commit.ts";
export { loadTexts } from "./blobs.ts";
export { asPrincipal, openDatabase, type Database, type DatabaseOptions, type Db } from "./database.ts";
export { eventsAfter, newestEvents } from "./events.ts";
export * from "./goals.ts";
export { makeRoom, nextCallHold } from "./make-room.ts";
export { retryGoal, type Retried } from "./retry.ts";
export * from "./steer.ts";
export {
  findRefusal,
  fireDueWaits,
  loadEffects,
  loadTwins,
  loadWaits,
  type Twin,
  type FiredWaits,
  type WaitsOfAttempt,
} from "./waits.ts";
export * from "./approvals.ts";
export { answerQuestion, type NewAnswer } from "./questions.ts";
export * from "./submit.ts";
export { createId, sha256 } from "./ids.ts";
export { getStep, listSteps, stepId, type ShownStep } from "./journal.ts";
export { ensureAdminKey, findPrincipal, generateKey } from "./keys.ts";
export { notesOf } from "./memories.ts";
export { dropLease, renewLease } from "./leases.ts";
export { ensurePartitions, migrate, readSchemaState, type SchemaState } from "./migrate.ts";
export { countProcesses, loadOfStages } from "./load-of-stages.ts";
export { oldestReadyMs } from "./oldest-work.ts";
export * from "./reconcile.ts";
export { defaultMaxRecordingBytes, recordGoal } from "./recording.ts";
export { resumeGoal, type MoreBudget } from "./resume.ts";
export {
  toGoal,
  toStep,
  toTask,
  toWait,
  type GoalRow,
  type QuestionRecord,
  type StepRecord,
  type TaskRecord,
  type WaitRecord,
} from "./rows.ts";
export { listDependencies, listTasks, measureBacklog, type TaskInGoal } from "./tasks.ts";
export { listTenantBudgets, replaceTenantBudgets, type TenantBudget, type TenantLimits } from "./tenant-budget.ts";
export { createStore, storeCalls, type Store } from "./store.ts";
export { journalModelCall, settleBilled, triesOf, type JournaledModelCall } from "./step-rows.ts";
export { createModelControl } from "./model-control.ts";
export {
  askModelTest,
  findModelTest,
  finishModelTest,
  readModelState,
  takeModelTest,
  writeModelView,
  type ModelState,
  type ModelTest,
  type ModelView,
} from "./model-views.ts";
export { rerouteGoal, type Rerouted } from "./reroute.ts";
export { goalUsage, tenantUsage, type CountedUsage } from "./usage.ts";
