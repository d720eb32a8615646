import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { findLostJobs, type QueueBackend } from "./backend.ts";

const jobs = [{ queue: "execute", job: "g_1-1-1" }] as const;
const queueWhere = (state: () => string) => {
  const queue = { getJobState: async () => state() };
  return { queues: { plan: queue, execute: queue, reflect: queue } } as unknown as Pick<QueueBackend, "queues">;
};

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

test("a job that is missing or finished is lost, one that waits is not", async () => {
  for (const state of ["unknown", "completed", "failed"])
    expect(
      await findLostJobs(
        queueWhere(() => state),
        jobs,
        new Map(),
      ),
      state,
    ).toEqual(jobs);
  for (const state of ["waiting", "delayed", "prioritized"])
    expect(
      await findLostJobs(
        queueWhere(() => state),
        jobs,
        new Map(),
      ),
      state,
    ).toEqual([]);
});

test("a job that was taken is lost when its work is still unclaimed two seconds later, and not before", async () => {
  const queue = queueWhere(() => "active");
  const taken = new Map<string, number>();
  expect(await findLostJobs(queue, jobs, taken)).toEqual([]);
  vi.advanceTimersByTime(1999);
  expect(await findLostJobs(queue, jobs, taken)).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(await findLostJobs(queue, jobs, taken)).toEqual(jobs);
});

test("what is no longer taken, or no longer unclaimed, is forgotten, and begins anew", async () => {
  let state = "active";
  const queue = queueWhere(() => state);
  const taken = new Map<string, number>();
  await findLostJobs(queue, jobs, taken);
  vi.advanceTimersByTime(3000);
  state = "waiting";
  expect(await findLostJobs(queue, jobs, taken)).toEqual([]);
  state = "active";
  expect(await findLostJobs(queue, jobs, taken)).toEqual([]);
  vi.advanceTimersByTime(3000);
  await findLostJobs(queue, [], taken);
  expect(await findLostJobs(queue, jobs, taken)).toEqual([]);
  expect(taken.size).toBe(1);
});
