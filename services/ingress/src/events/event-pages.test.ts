import type { EventBus, GoalEvent, GoalId } from "@outerloop/core";
import { expect, test } from "vitest";
import { createEventPages } from "./event-pages.ts";

const goal = "g_1" as GoalId;
const event = (seq: number, room = 0): GoalEvent => ({
  seq,
  type: "step.tool",
  taskId: null,
  data: { room: "x".repeat(room) },
  at: "2026-01-01T00:00:00Z",
});

/**
 * A store of `newest` events, a Redis that keeps those above `kept` (null: none) but for the last `behind`, how often each
 * was asked, and what Redis was given.
 */
function setUp(options: { readonly maxBytes?: number; readonly room?: number } = {}) {
  const state = { newest: 0, kept: null as number | null, behind: 0, now: 0, storeReads: 0, redisReads: 0 };
  const given: (readonly [first: number, last: number, newest: number])[] = [];
  let tell: (goalId: string, newest: number) => void = () => undefined;
  const above = (after: number, newest: number, limit: number) =>
    Array.from({ length: Math.max(Math.min(newest - after, limit), 0) }, (_, index) =>
      event(after + index + 1, options.room),
    );
  const bus: Pick<EventBus, "recent" | "keep" | "subscribe"> = {
    recent: async (_goalId, after, limit) => {
      state.redisReads += 1;
      return state.kept === null || after < state.kept ? null : above(after, state.newest - state.behind, limit);
    },
    keep: (_goalId, events, newest) => void given.push([events[0]!.seq, events.at(-1)!.seq, newest]),
    subscribe: (listener) => ((tell = listener), () => undefined),
  };
  const pages = createEventPages(
    bus,
    async (_goalId, after, limit) => {
      state.storeReads += 1;
      return above(after, state.newest, limit);
    },
    { maxBytes: options.maxBytes ?? 1_000_000, freshMs: 1000, clock: () => state.now },
  );
  const idsAfter = async (after: number) => (await pages.read(goal, after)).events.map((each) => each.seq);
  return { state, given, pages, idsAfter, tell: (newest: number) => tell(goal, newest) };
}

test("1: those who ask at once share one read, and those who ask soon after ask nobody", async () => {
  const { state, idsAfter } = setUp();
  state.newest = 5;
  const read = await Promise.all([0, 1, 4, 5].map(idsAfter));
  expect(read).toEqual([[1, 2, 3, 4, 5], [2, 3, 4, 5], [5], []]);
  await idsAfter(0);
  expect(state.storeReads).toBe(1);
  state.now = 1001;
  state.newest = 6;
  expect(await idsAfter(5)).toEqual([6]);
  expect(state.storeReads).toBe(2);
});

test("1: a full page is read once for ever, and says that there may be more", async () => {
  const { state, pages } = setUp();
  state.newest = 250;
  for (state.now = 0; state.now < 10_000; state.now += 1500)
    expect(await pages.read(goal, 30)).toMatchObject({ events: { length: 70 }, more: true });
  expect(state.storeReads).toBe(1);
  expect(await pages.read(goal, 200)).toMatchObject({ events: { length: 50 }, more: false });
});

test("2: what Redis keeps is not asked of Postgres, what it does not keep is", async () => {
  const { state, given, idsAfter, tell } = setUp();
  state.newest = 150;
  state.kept = 90;
  tell(150);
  expect((await idsAfter(100)).length).toBe(50);
  expect([state.redisReads, state.storeReads]).toEqual([1, 0]);
  expect((await idsAfter(0)).length).toBe(100);
  expect([state.redisReads, state.storeReads]).toEqual([2, 1]);
  expect(given).toEqual([[1, 100, 150]]);
});

test("2: who follows has it read from Postgres, and what was read is kept for others", async () => {
  const { state, given, idsAfter, tell } = setUp();
  state.newest = 98;
  state.kept = 0;
  await idsAfter(0);
  for (state.newest = 99; state.newest <= 102; state.newest++) {
    tell(state.newest);
    await idsAfter(state.newest - 2);
    await idsAfter(state.newest - 1);
  }
  expect(given).toEqual([
    [99, 99, 99],
    [100, 100, 100],
    [102, 102, 102],
  ]);
});

test("2: old pages of a goal that nobody told of are not kept, its end is", async () => {
  const { state, given, idsAfter } = setUp();
  state.newest = 250;
  for (const after of [0, 100, 200]) await idsAfter(after);
  expect(given).toEqual([[201, 250, 250]]);
});

test("3: where somebody last watched is not taken for the end of a goal", async () => {
  const { state, given, idsAfter } = setUp();
  state.newest = 80;
  state.kept = 0;
  state.behind = 30;
  expect((await idsAfter(50)).length).toBe(30);
  expect([state.redisReads, state.storeReads]).toEqual([1, 1]);
  expect(given).toEqual([[51, 80, 80]]);
});

test("3: news ends what was kept as fresh, also where Redis lags behind it", async () => {
  const { state, idsAfter, tell } = setUp();
  state.newest = 5;
  state.kept = 0;
  tell(5);
  await idsAfter(0);
  expect(state.storeReads).toBe(0);
  state.newest = 6;
  state.behind = 1;
  tell(6);
  expect(await idsAfter(5)).toEqual([6]);
  expect(state.storeReads).toBe(1);
});

test("3: news of what nobody knows ends in two looks", async () => {
  const { state, idsAfter, tell } = setUp();
  state.newest = 5;
  await idsAfter(0);
  tell(9);
  expect(await idsAfter(5)).toEqual([]);
  const reads = state.storeReads;
  expect(reads).toBeLessThanOrEqual(3);
  // Nor does the next one look for it.
  expect(await idsAfter(5)).toEqual([]);
  expect(state.storeReads).toBe(reads);
});

test("3: news that comes while a read is under way is not missed by those who share it", async () => {
  const { state, idsAfter, tell } = setUp();
  state.newest = 5;
  await idsAfter(0);
  state.now = 2000;
  const reading = idsAfter(5);
  state.newest = 7;
  tell(7);
  await reading;
  expect(await idsAfter(5)).toEqual([6, 7]);
});

test("4: what is kept is bounded by bytes, and the page wanted longest ago goes first", async () => {
  const { state, idsAfter } = setUp({ room: 1000, maxBytes: 300_000 });
  state.newest = 500;
  for (const after of [0, 100, 0, 200]) await idsAfter(after);
  expect(state.storeReads).toBe(3);
  await idsAfter(0);
  expect(state.storeReads).toBe(3);
  await idsAfter(100);
  expect(state.storeReads).toBe(4);
});
