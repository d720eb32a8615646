import { expect, test } from "vitest";
import { facetsOf, literalsOf, queryOf, readQuestion, type AnswerKind } from "./question.ts";

test.each<[string, AnswerKind]>([
  ["How many hosts are there?", "figure"],
  ["What is the maximum size?", "figure"],
  ["When was 2.0 released?", "date"],
  ["Which version of Node does it need?", "version"],
  ["Where is the state kept?", "place"],
  ["How do I turn it off?", "command"],
  ["Why does it restart?", "reason"],
  ["What is used unless I say otherwise?", "default"],
  ["Which license is it under?", "name"],
])("%s asks for a %s", (text, kind) => expect(readQuestion(text).kinds).toContain(kind));

test("words of asking are left out, and what is said not to be there stays", () => {
  expect(queryOf(readQuestion("Where are the values stored if no adapter is given?"))).toBe(
    "values stored adapter default",
  );
});

test("a name weighs more than a word of all documentation, and parts of an identifier less", () => {
  const weights = Object.fromEntries(
    readQuestion("Which option of Zorkmid does readFile support?").terms.map((term) => [term.text, term.weight]),
  );
  expect(weights["zorkmid"]).toBe(1);
  expect(weights["option"]).toBeLessThan(1);
  expect(weights["file"]).toBeLessThan(weights["readfile"]!);
});

test("a word with a capital inside a sentence is a name, even a common one", () => {
  expect(readQuestion("Is there a client for Go?").terms.find((term) => term.text === "go")).toMatchObject({
    isName: true,
    weight: 1,
  });
  expect(readQuestion("Where do I go from here?").terms.some((term) => term.isName)).toBe(false);
});

test("questions put together are taken apart; a reason stays with its question", () => {
  expect(facetsOf("How large is the cache and where is the log written?")).toEqual([
    "How large is the cache",
    "where is the log written?",
  ]);
  expect(facetsOf("Which engine suits a Go service, and why?")).toHaveLength(1);
  expect(facetsOf("How old and how tall is Alan?")).toHaveLength(1);
  expect(facetsOf("What is the port? Where is the socket?")).toHaveLength(2);
});

test("options and quotations are wanted as written", () => {
  expect(literalsOf('What do -C and --max-age mean in `foo.conf` or "bar baz"? well-known')).toEqual([
    "-C",
    "--max-age",
    "foo.conf",
    "bar baz",
  ]);
});

test("a question without a content word still has terms", () => {
  expect(readQuestion("What is it?").terms.length).toBeGreaterThan(0);
});

test("how a question is joined to the one before it is no part of what is asked", () => {
  expect(queryOf(readQuestion("What licence does it have? (asked after: Who maintains the daemon)"))).toBe(
    "licence maintains daemon",
  );
});
