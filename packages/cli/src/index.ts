export {
  collectAttachments,
  describeAttachments,
  noAttachments,
  type Attachments,
  type CollectOptions,
} from "./attachments/collect.ts";
export {
  readStartArguments as readRunArguments,
  type StartArguments as RunArguments,
} from "./commands/start-arguments.ts";
export { exitCodes, UserError } from "./exit.ts";
export { processInterrupts, type Interrupts } from "./interrupts.ts";
export { explainError } from "./program.ts";
export { runGoal, type RunGoalSettings, type RunOutcome } from "./run-goal.ts";
