import type { Db, EventBus, GoalId, Logger } from "@outerloop/core";
import { expect, test } from "vitest";
import { createWatchers } from "./watchers.ts";

function fakeBus() {
  const listeners = new Set<(goalId: string, newest: number) => void>();
  const bus = {
    subscribe: (listener: (goalId: string, newest: number) => void) => (
      listeners.add(listener),
      () => listeners.delete(listener)
    ),
  } as unknown as EventBus;
  const tell = (goalId: string, newest: number) => {
    for (const listener of listeners) listener(goalId, newest);
  };
  return { bus, tell, listeners };
}
const goal = "g_1" as GoalId;
const never = 100_000;
const create = (bus: EventBus) => createWatchers({} as Db, bus, {} as Logger, { max: 2, pollMs: never });

test("a watcher is woken by what is above what it saw, and by nothing else", async () => {
  const { bus, tell } = fakeBus();
  const watcher = create(bus).watch(goal);
  const waiting = watcher.wait(3, never);
  tell("g_other", 9);
  tell(goal, 2);
  tell(goal, 3);
  let woken = false;
  void waiting.then(() => (woken = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(woken).toBe(false);
  tell(goal, 4);
  expect(await waiting).toBe("news");
  watcher.leave();
});

test("what was told before it waits is not lost, and told once", async () => {
  const { bus, tell } = fakeBus();
  const watcher = create(bus).watch(goal);
  tell(goal, 9);
  expect(await watcher.wait(3, never)).toBe("news");
  expect(await watcher.wait(3, 1)).toBe("nothing");
  watcher.leave();
});

test("places are counted, and a place is given back once", () => {
  const watchers = create(fakeBus().bus);
  const [one, two] = [watchers.watch(goal), watchers.watch(goal)];
  expect(watchers.full).toBe(true);
  one.leave();
  one.leave();
  expect(watchers.full).toBe(false);
  watchers.watch(goal);
  expect(watchers.full).toBe(true);
  two.leave();
});

test("stopping wakes everybody, lets nobody in and lets go of the bus", async () => {
  const { bus, listeners } = fakeBus();
  const watchers = create(bus);
  const waiting = watchers.watch(goal).wait(0, never);
  watchers.stop();
  expect(await waiting).toBe("stopping");
  expect([watchers.full, listeners.size]).toEqual([true, 0]);
});
