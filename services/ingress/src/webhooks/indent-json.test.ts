import { expect, test } from "vitest";
import { indentJson } from "./indent-json.ts";

const max = 1_000_000;

test.each([
  null,
  0,
  "",
  'a \\ " { [ , : \\u00e9 \n',
  [],
  {},
  [[], {}, [[]]],
  { a: { b: [1, -2.5e-7, true, false, null, "x,y:{z}"] }, "": [], "k\"'": { deep: [{ e: {} }] } },
  JSON.parse('{"__proto__": {"a": 1}}'),
])("%j has the lines that JSON.stringify gives it, however it was written", (value) => {
  const expected = `${JSON.stringify(value, null, 2)}\n`;
  for (const text of [JSON.stringify(value), JSON.stringify(value, null, "\t \r\n"), ` ${expected} `])
    expect(indentJson(text, max)).toBe(expected);
});

test("numbers of any length, escapes and fields that are there twice stay as they were sent", () => {
  expect(indentJson('{"id":12345678901234567890,"n":1.00,"id":2,"s":"\\u00FC\\/"}', max)).toBe(
    '{\n  "id": 12345678901234567890,\n  "n": 1.00,\n  "id": 2,\n  "s": "\\u00FC\\/"\n}\n',
  );
});

test("what lines would make too long stays as it is", () => {
  const deep = `${"[".repeat(60)}${"0,".repeat(1000)}0${"]".repeat(60)}`;
  expect(indentJson(deep, deep.length * 4)).toBe(deep);
  expect(indentJson("[0]", 7)).toBe("[\n  0\n]\n");
  expect(indentJson("[0]", 6)).toBe("[0]");
});

test("a megabyte takes no time worth mentioning, one string or many", () => {
  const started = performance.now();
  const text = JSON.stringify([`${'\\"'.repeat(250_000)}`, Array.from({ length: 100_000 }, (_, n) => n)]);
  expect(JSON.parse(indentJson(text, text.length * 4))).toEqual(JSON.parse(text));
  expect(performance.now() - started).toBeLessThan(5000);
});
