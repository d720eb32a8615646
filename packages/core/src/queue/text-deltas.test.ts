import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ModelDelta } from "../domain/model-delta.ts";
import { createTextDeltas, maxKeptChars, type TextDeltasOptions } from "./text-deltas.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const call = { task: "t1", stage: "execute", attempt: 1, seq: 3, output: null } as const;

function setUp(options: Partial<TextDeltasOptions> = {}) {
  const sent: ModelDelta[][] = [];
  const failures: unknown[] = [];
  let looks = 0;
  let isWatched = true;
  const texts = createTextDeltas({
    gatherMs: 100,
    maxPieceChars: 1000,
    isWatched: async () => (looks++, isWatched),
    send: async (_goal, pieces) => void sent.push([...pieces]),
    mask: (text) => ({ text, rest: 0 }),
    failed: (thrown) => failures.push(thrown),
    ...options,
  });
  return { texts, sent, failures, looks: () => looks, watch: (watched: boolean) => (isWatched = watched) };
}
const pieces = (sent: readonly (readonly ModelDelta[])[]) =>
  sent.flat().map(({ try: number, offset, text }) => ({ try: number, offset, text }));

test("what comes within a moment is one piece, and the rest goes when the call ends", async () => {
  const { texts, sent } = setUp();
  const { onText, end } = texts.of("g_1", call);
  onText({ try: 1, offset: 0, text: "Hel" });
  onText({ try: 1, offset: 3, text: "lo " });
  await vi.advanceTimersByTimeAsync(99);
  expect(sent).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(sent).toEqual([[{ transient: true, ...call, try: 1, offset: 0, text: "Hello " }]]);
  onText({ try: 1, offset: 6, text: "you" });
  end();
  await vi.advanceTimersByTimeAsync(0);
  expect(pieces(sent).at(-1)).toEqual({ try: 1, offset: 6, text: "you" });
  onText({ try: 1, offset: 9, text: "late" });
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent).toHaveLength(2);
  expect(vi.getTimerCount()).toBe(0);
});

test("a try that begins again takes the place of what the one before left unsent", async () => {
  const { texts, sent } = setUp();
  const { onText, end } = texts.of("g_1", call);
  onText({ try: 1, offset: 0, text: "half an ans" });
  onText({ try: 2, offset: 0, text: "whole" });
  end();
  await vi.advanceTimersByTimeAsync(0);
  expect(pieces(sent)).toEqual([{ try: 2, offset: 0, text: "whole" }]);
});

test("3: of a goal that nobody watches nothing is sent, and it is looked up every two seconds", async () => {
  const { texts, sent, looks, watch } = setUp();
  watch(false);
  const calls = [1, 2, 3].map((seq) => texts.of("g_1", { ...call, seq }));
  for (let offset = 0; offset < 50; offset++) {
    for (const { onText } of calls) onText({ try: 1, offset, text: "x" });
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(sent).toEqual([]);
  expect(looks()).toBe(3);
  // Who comes in the middle sees the rest, with where it belongs.
  watch(true);
  for (let offset = 50; offset < 80; offset++) {
    calls[0]!.onText({ try: 1, offset, text: "x" });
    await vi.advanceTimersByTimeAsync(100);
  }
  calls[0]!.end();
  await vi.advanceTimersByTimeAsync(0);
  const [first] = pieces(sent);
  expect(first!.offset).toBeGreaterThanOrEqual(50);
  expect(
    pieces(sent)
      .map(({ text }) => text)
      .join("").length,
  ).toBe(80 - first!.offset);
});

test("1, 2: while one message is under way no other is, and what gathers meanwhile is bounded", async () => {
  let release = () => undefined as void;
  let underWay = 0;
  const sizes: number[] = [];
  const { texts } = setUp({
    maxPieceChars: 1e9,
    async send(_goal, [piece]) {
      underWay += 1;
      expect(underWay).toBe(1);
      sizes.push(piece!.text.length);
      await new Promise<void>((resolve) => (release = resolve));
      underWay -= 1;
    },
  });
  const { onText, end } = texts.of("g_1", call);
  for (let n = 0; n < 200; n++) {
    onText({ try: 1, offset: n * 1000, text: "x".repeat(1000) });
    await vi.advanceTimersByTimeAsync(100);
  }
  end();
  for (let n = 0; n < 3; n++) {
    release();
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(sizes).toHaveLength(2);
  expect(sizes[1]).toBeLessThanOrEqual(maxKeptChars);
});

test("2: of a single piece over the bound its end is kept", async () => {
  const { texts, sent } = setUp({ maxPieceChars: 1e9 });
  const { onText, end } = texts.of("g_1", call);
  onText({ try: 1, offset: 5, text: `${"x".repeat(maxKeptChars)}end` });
  end();
  await vi.advanceTimersByTimeAsync(0);
  const [piece] = pieces(sent);
  expect([piece!.offset, piece!.text.length, piece!.text.slice(-3)]).toEqual([8, maxKeptChars, "end"]);
});

test("1: a bus that fails is nothing to the call, and is told of", async () => {
  const away = new Error("away");
  for (const broken of [
    { send: () => Promise.reject(away) },
    { isWatched: () => Promise.reject(away) },
  ] satisfies Partial<TextDeltasOptions>[]) {
    const { texts, failures } = setUp(broken);
    const { onText, end } = texts.of("g_1", call);
    onText({ try: 1, offset: 0, text: "x" });
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect(failures).toEqual([away]);
  }
});

test("a long piece is cut into messages that fit, and the end of a text that may be a secret's beginning waits", async () => {
  const { texts, sent } = setUp({
    maxPieceChars: 4,
    mask: (text) => ({ text: text.replace("secret", "******"), rest: text.endsWith("sec") ? 3 : 0 }),
  });
  const { onText, end } = texts.of("g_1", call);
  onText({ try: 1, offset: 0, text: "a sec" });
  await vi.advanceTimersByTimeAsync(100);
  expect(pieces(sent)).toEqual([{ try: 1, offset: 0, text: "a " }]);
  onText({ try: 1, offset: 5, text: "ret" });
  end();
  await vi.advanceTimersByTimeAsync(0);
  expect(pieces(sent).slice(1)).toEqual([
    { try: 1, offset: 2, text: "****" },
    { try: 1, offset: 6, text: "**" },
  ]);
});
