import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createEventMessages, maxGoalsPerMessage, maxPendingGoals, type EventMessage } from "./event-messages.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** What was sent, each with the millisecond in which it went. */
function setUp(takes: () => Promise<void> = async () => undefined) {
  const startedAt = Date.now();
  const sent: { readonly atMs: number; readonly message: EventMessage }[] = [];
  const messages = createEventMessages({
    quietMs: 2,
    send: async (message) => {
      sent.push({ atMs: Date.now() - startedAt, message });
      await takes();
    },
  });
  return { sent, messages };
}

test("the first of a quiet time goes at once, with what the same turn says", async () => {
  const { sent, messages } = setUp();
  messages.add("a", 1);
  messages.add("b", 4);
  messages.add("a", 3);
  messages.add("a", 2);
  await vi.advanceTimersByTimeAsync(0);
  expect(sent).toEqual([{ atMs: 0, message: { a: 3, b: 4 } }]);
});

test("of one goal that goes on and on, messages come less and less often, and none when it rests", async () => {
  const { sent, messages } = setUp();
  for (let newest = 1; newest <= 40; newest++) {
    messages.add("a", newest);
    await vi.advanceTimersByTimeAsync(1);
  }
  await vi.advanceTimersByTimeAsync(960);
  expect(sent.map(({ atMs }) => atMs)).toEqual([0, 2, 6, 14, 24, 34, 44]);
  expect(sent.at(-1)!.message).toEqual({ a: 40 });
  // Quiet again: at once, and what follows soon after.
  messages.add("a", 41);
  await vi.advanceTimersByTimeAsync(1);
  messages.add("a", 42);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent.slice(-2)).toEqual([
    { atMs: 1000, message: { a: 41 } },
    { atMs: 1002, message: { a: 42 } },
  ]);
});

test("the more goals move, the more share a message, and none is told later than a tenth of a second", async () => {
  const { sent, messages } = setUp();
  const goals = 400;
  for (let atMs = 0; atMs < 1000; atMs++) {
    for (let n = 0; n < 4; n++) messages.add(`g${(atMs * 4 + n) % goals}`, atMs);
    await vi.advanceTimersByTimeAsync(1);
  }
  await vi.advanceTimersByTimeAsync(200);
  // In thousand milliseconds, 4,000 changes.
  expect(sent.length).toBeLessThan(60);
  for (const { atMs, message } of sent)
    for (const newest of Object.values(message)) expect(atMs - newest).toBeLessThanOrEqual(101);
  const last = new Map(sent.flatMap(({ message }) => Object.entries(message)));
  expect(last.size).toBe(goals);
  expect(Math.min(...last.values())).toBe(900);
});

test("while whoever takes them is slow what comes gathers, bounded: the newest stays", async () => {
  let take: () => void = () => undefined;
  const { sent, messages } = setUp(() => new Promise((resolve) => (take = resolve)));
  messages.add("first", 1);
  await vi.advanceTimersByTimeAsync(1000);
  for (let n = 0; n < maxPendingGoals + 50; n++) messages.add(`g${n}`, 1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent.length).toBe(1);
  const closing = messages.close();
  for (let n = 0; n <= maxPendingGoals / maxGoalsPerMessage + 1; n++) {
    take();
    await vi.advanceTimersByTimeAsync(0);
  }
  await closing;
  const told = sent.slice(1).flatMap(({ message }) => Object.keys(message));
  expect(told.length).toBe(maxPendingGoals);
  expect([told[0], told.at(-1)]).toEqual(["g50", `g${maxPendingGoals + 49}`]);
  expect(Math.max(...sent.map(({ message }) => Object.keys(message).length))).toBe(maxGoalsPerMessage);
});

test("closing sends what is left at once, and leaves no timer", async () => {
  const { sent, messages } = setUp();
  messages.add("a", 1);
  await vi.advanceTimersByTimeAsync(0);
  messages.add("a", 2);
  await messages.close();
  expect(sent.map(({ message }) => message["a"])).toEqual([1, 2]);
  expect(vi.getTimerCount()).toBe(0);
});
