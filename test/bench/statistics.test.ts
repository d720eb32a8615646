import { expect, test } from "vitest";
import { median, percentile, round } from "./statistics.ts";

test("the median is the middle value, or halfway between the two in the middle, in any order", () => {
  expect(median([5])).toBe(5);
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test("a percentile is a value that was measured, by nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(percentile(hundred, 0.5)).toBe(50);
  expect(percentile(hundred, 0.99)).toBe(99);
  expect(percentile(hundred, 1)).toBe(100);
  expect(percentile(hundred, 0)).toBe(1);
  expect(percentile([7], 0.99)).toBe(7);
});

test("nothing has neither", () => {
  expect(() => median([])).toThrow("nothing");
  expect(() => percentile([], 0.5)).toThrow("nothing");
});

test("what is shown is rounded by its size", () => {
  expect([round(0.123456), round(12.3456), round(123_456)]).toEqual([0.1235, 12.35, 123_500]);
});
