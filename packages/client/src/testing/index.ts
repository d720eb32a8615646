export {
  formatEvent,
  startContractServer,
  type ContractServer,
  type Fault,
  type KeptGoal,
  type StreamScript,
} from "./contract-server.ts";
export {
  numbered,
  sampleArtifact,
  sampleEvents,
  sampleGoal,
  sampleGoalId,
  sampleStep,
  sampleTask,
} from "./sample-goal.ts";
