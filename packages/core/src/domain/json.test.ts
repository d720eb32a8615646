import { expect, test } from "vitest";
import { canonicalJson, mayBeUnstorable, storable } from "./json.ts";

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

/** What it was first: as many hashes are kept that were made by it. */
function byReplacer(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

test.each([
  [{ b: 1, a: [1, "x", null, true, { z: 0, y: undefined }], c: undefined }],
  [[undefined, () => 1, { 10: "ten", 9: "nine", "01": "", a: 0, B: 0 }]],
  [{ at: new Date(0), nested: { toJSON: () => ({ z: 1, a: 2 }) } }],
  ['text \ud83d " \\ \u0000'],
  [{ 'quoted "key"': -0, é: 1e21, e: Number.NaN, "\u{1f600}": 0, "\uffff": 1 }],
  [{}],
  [[]],
  [null],
])("canonical JSON keeps its bytes: %j", (value) => {
  expect(canonicalJson(value)).toBe(byReplacer(value));
});

test("what is strange in JSON is seen as such", () => {
  expect(mayBeUnstorable(JSON.stringify({ a: "x\0" }))).toBe(true);
  expect(mayBeUnstorable(JSON.stringify(["\ud83d"]))).toBe(true);
  expect(mayBeUnstorable(JSON.stringify(["\u{1f600} é \n"]))).toBe(false);
});
