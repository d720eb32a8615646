import { expect, test } from "vitest";
import { OuterloopError, type Retry } from "../../domain/errors.ts";
import { defaultRetryPolicy, nextWaitMs, sleepFor, withRetry } from "./retry.ts";

const failing = (retry: Retry) => new OuterloopError("model_unavailable", "down", { retry });

/** Tools with a clock that does not pass: waits are only noted. */
function tools(signal = new AbortController().signal) {
  const waits: number[] = [];
  const sleep = async (ms: number) => void waits.push(ms);
  return { waits, policy: defaultRetryPolicy, signal, random: () => 0.5, sleep };
}

test("1: at most three calls are made, with growing jittered waits between them", async () => {
  const given = tools();
  let calls = 0;
  const call = () => {
    calls++;
    return Promise.reject(failing("backoff"));
  };
  await expect(withRetry(call, given)).rejects.toMatchObject({ code: "model_unavailable" });
  expect(calls).toBe(3);
  expect(given.waits).toEqual([250, 500]);
});

test("a later try's answer is the answer", async () => {
  const given = tools();
  const outcomes = [() => Promise.reject(failing("backoff")), () => Promise.resolve("answer")];
  await expect(withRetry(() => outcomes.shift()!(), given)).resolves.toBe("answer");
});

test("2: a wait that the provider asks for is obeyed, a long one is left to the caller", () => {
  const { policy, random } = tools();
  expect(nextWaitMs(failing({ afterMs: 7_000 }), 1, policy, random)).toBe(7_000);
  expect(nextWaitMs(failing({ afterMs: policy.longestWaitMs + 1 }), 1, policy, random)).toBeUndefined();
});

test("what no retry helps, and what is not ours, is thrown at once", () => {
  const { policy, random } = tools();
  expect(nextWaitMs(failing("never"), 1, policy, random)).toBeUndefined();
  expect(nextWaitMs(new TypeError("a bug"), 1, policy, random)).toBeUndefined();
});

test("backoff never passes its cap", () => {
  expect(nextWaitMs(failing("backoff"), 20, { ...defaultRetryPolicy, tries: 99 }, () => 0.999)).toBe(7_992);
});

test("3: the signal ends a wait at once", async () => {
  const stop = new AbortController();
  const waiting = withRetry(() => Promise.reject(failing({ afterMs: 10_000 })), {
    ...tools(stop.signal),
    sleep: sleepFor,
  });
  stop.abort();
  await expect(waiting).rejects.toMatchObject({ code: "cancelled", retry: "never" });
});
