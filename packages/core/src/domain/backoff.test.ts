import fc from "fast-check";
import { expect, test } from "vitest";
import { awayMs, backoffMs } from "./backoff.ts";

const policy = { baseMs: 2000, capMs: 300_000 };

test("each wait's bound doubles from the base up to the cap, and chance takes any part of it", () => {
  const bounds = Array.from({ length: 10 }, (_, backoffs) => backoffMs(policy, backoffs, () => 1));
  expect(bounds).toEqual([2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000]);
  fc.assert(
    fc.property(fc.nat(5000), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (backoffs, chance) => {
      const wait = backoffMs(policy, backoffs, () => chance);
      return wait >= 0 && wait <= policy.capMs;
    }),
  );
  expect(backoffMs(policy, 3, () => 0)).toBe(0);
});

test("a wait that was asked for wins, however long", () => {
  expect(awayMs({ afterMs: 3_600_000 }, policy, 0, () => 0.5)).toBe(3_600_000);
  expect(awayMs("backoff", policy, 1, () => 0.5)).toBe(2000);
});
