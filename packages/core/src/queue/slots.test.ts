import { expect, test } from "vitest";
import { Slots } from "./slots.ts";

test("who waits for several slots is woken when so many are free, not before", async () => {
  const slots = new Slots(4);
  slots.take(4);
  let woken = false;
  const waiting = slots.whenFree(3, new AbortController().signal).then(() => (woken = true));
  slots.give(2);
  await new Promise((resolve) => setImmediate(resolve));
  expect(woken).toBe(false);
  slots.give(1);
  await waiting;
  expect(slots.free).toBe(3);
});

test("who waits is woken when the wait is given up", async () => {
  const slots = new Slots(1);
  slots.take(1);
  const stopping = new AbortController();
  const waiting = slots.whenFree(1, stopping.signal);
  stopping.abort();
  await waiting;
  expect(slots.free).toBe(0);
});
