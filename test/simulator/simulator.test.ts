import { expect, test } from "vitest";
import { simulateSeeds } from "./seeds.ts";
import { simulate } from "./simulation.ts";
import { simulatedSeeds } from "./size.ts";

test("whatever is lost, repeated, late or dead, W1 to W10 hold", { timeout: 3_600_000 }, async () => {
  const { violations, ends } = await simulateSeeds(1, simulatedSeeds);
  expect(violations).toEqual([]);
  // A run in which nothing comes to anything shows nothing.
  expect(ends.get("succeeded")).toBeGreaterThan(simulatedSeeds / 2);
});

test("a seed runs the same way twice", async () => {
  for (const seed of [11, 12, 13]) {
    const first = await simulate({ seed, trace: true });
    const second = await simulate({ seed, trace: true });
    expect(second.hash).toBe(first.hash);
    expect(second.trace).toEqual(first.trace);
    expect(first.operations).toBeGreaterThan(20);
  }
});
