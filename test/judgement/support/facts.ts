/** What can be seen of a run from outside, and what must hold of every one. */
import { expect } from "vitest";
import type { StepResource } from "@outerloop/core/domain";
import { budget, type Run, type SeenEvent } from "./house.ts";

export const eventsOf = ({ events }: Run, type: string): SeenEvent[] => events.filter((event) => event.type === type);

/** `type` and the fields of its data that are named. */
export const hasEvent = (run: Run, type: string, data: Readonly<Record<string, unknown>> = {}): boolean =>
  eventsOf(run, type).some((event) => Object.entries(data).every(([name, value]) => event.data[name] === value));

/** A goal's task, by its key. */
export const taskOf = ({ goal }: Run, key: string) => {
  const found = goal.tasks.find((task) => task.key === key);
  if (found === undefined)
    throw new Error(`goal ${goal.id} has no task ${key}, only ${goal.tasks.map((task) => task.key).join(", ")}`);
  return found;
};

/** Whether the goal itself wrote this file, and something into it: what was attached is no work of its. */
export async function wrote(run: Run, path: string): Promise<boolean> {
  const file = run.files.find((each) => each.path === path);
  return file !== undefined && file.origin === "written" && (await run.text(path)).trim() !== "";
}

/** For a failed assertion: the run in one screen. */
export const tell = ({ goal, events }: Run): string =>
  [
    `${goal.text}: ${goal.status} ${goal.reason ?? ""} ${goal.detail ?? ""}`,
    ...goal.tasks.map((task) => `  ${task.key} ${task.status} attempt ${task.attempt}: ${task.reason ?? ""}`),
    ...events
      .filter((event) => !event.type.startsWith("step."))
      .map((event) => `  ${event.seq} ${event.type} ${JSON.stringify(event.data).slice(0, 200)}`),
  ].join("\n");

/** Steps that were made: a call past an attempt's limit is answered, journaled and costs nothing. */
export const madeSteps = (run: Run): StepResource[] =>
  run.steps.filter((step) => step.phase === "result" && !JSON.stringify(step.output ?? "").includes("Not run: "));

/** Whatever a model does, its goal ends once, inside its budget, and its journal says what was spent. */
export function expectBounded(run: Run, steps: number = budget.steps): void {
  expect(run.goal.usage.steps, tell(run)).toBeLessThanOrEqual(steps);
  expect(run.goal.usage.steps, tell(run)).toBe(madeSteps(run).length);
  const ends = run.events.filter((event) => /^goal\.(succeeded|failed|abandoned|cancelled)$/.test(event.type));
  expect(ends.length, tell(run)).toBe(1);
  expect(run.events.map((event) => event.seq)).toEqual(run.events.map((_, index) => index + 1));
}

export function expectEnd(run: Run, status: string, reason: string | null): void {
  expect({ status: run.goal.status, reason: run.goal.reason }, tell(run)).toEqual({ status, reason });
}
