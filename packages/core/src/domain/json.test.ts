import { expect, test } from "vitest";
import { canonicalJson, storable } from "./json.ts";

test("equal values have equal text, whatever the order of their keys", () => {
  expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe(canonicalJson({ a: null, b: [{ c: 2, d: 1 }] }));
});

test("what Postgres cannot keep is replaced in strings and keys at every depth, and nothing else is", () => {
  expect(storable({ "a\0": ["x\ud83d", { b: "\u{1f600}" }], n: 1, z: null })).toEqual({
    "a\uFFFD": ["x\uFFFD", { b: "\u{1f600}" }],
    n: 1,
    z: null,
  });
});
