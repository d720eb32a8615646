/**
 * The workload `goal` in bare BullMQ, as data: 22 jobs with the same dependencies, no durable state. A job has one parent
 * there, so the first plan is a job by itself and its processor adds the other 21 as one flow: five chains of model, tool,
 * model, reflect under the plan that ends it.
 *
 * `full`: each job returns the 1 KB of its step and stays when it is done, as is BullMQ's default. `empty`: it returns nothing and
 * is removed, which is the least that flows can cost.
 */
import type { FlowJob } from "bullmq";
import { filler, stepsOfGoal, tasksOfGoal } from "../provider.ts";

export const flowQueues = ["plan", "execute", "reflect"] as const;
export type FlowQueue = (typeof flowQueues)[number];

export const flowKinds = ["full", "empty"] as const;
export type FlowKind = (typeof flowKinds)[number];

export const firstPlanName = "first";
export const finalPlanName = "final";

/** What a job of a flow returns. */
export const resultOf = (kind: FlowKind) => (kind === "full" ? filler("Found: ", resultChars) : null);
const resultChars = 1000;

const jobOptions = (kind: FlowKind) => ({ removeOnComplete: kind === "empty", attempts: 1 });

export const firstPlan = (goal: string, kind: FlowKind) => ({
  name: firstPlanName,
  data: { goal },
  opts: { ...jobOptions(kind), jobId: `${goal}-first` },
});

export const finalPlanId = (goal: string) => `${goal}-final`;

export function flowOf(goal: string, kind: FlowKind): FlowJob {
  const job = (queueName: FlowQueue, name: string, children: FlowJob[] = []): FlowJob => ({
    queueName,
    name,
    data: { goal },
    opts: jobOptions(kind),
    children,
  });
  const chains = Array.from({ length: tasksOfGoal }, () =>
    job("reflect", "verdict", [job("execute", "answer", [job("execute", "tool", [job("execute", "call")])])]),
  );
  return { ...job("plan", finalPlanName, chains), opts: { ...jobOptions(kind), jobId: finalPlanId(goal) } };
}

/** Of one goal, the first plan too. */
export function jobsIn(flow: FlowJob): number {
  return 1 + (flow.children ?? []).reduce((sum, child) => sum + jobsIn(child), 0);
}

if (jobsIn(flowOf("g", "empty")) + 1 !== stepsOfGoal)
  throw new Error("the flow has not as many jobs as a goal has steps");
