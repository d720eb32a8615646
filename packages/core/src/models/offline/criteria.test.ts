import { expect, test } from "vitest";
import { criteriaOf, criterionOf } from "./criteria.ts";

const judged = (criterion: string, text: string) => criterionOf(criterion).judge(text);

test("a service is what is built, not what is compared by; what is asked for in words is", () => {
  expect(criteriaOf("Which engine suits a single-binary Go service, and why?")).toEqual(["single binary", "Go"]);
  expect(criteriaOf("Which one is best for concurrent readers?")).toContain("concurrency");
  expect(criteriaOf("Compare the engines by speed and memory.")).toEqual(["speed", "memory"]);
});

test.each([
  ["single binary", 'Smaller & <a href="https://example.org">Faster</a> Single-File<br/>'],
  ["single binary", "- Written in pure C, no dependencies, runs anywhere SQLite runs"],
  ["Go", "Go | [pgvector-go](https://example.org)"],
  ["Go", "| C 99 | Rust |  Go   | Swift |"],
  ["concurrency", "The `add` is thread-safe for concurrent index construction."],
])("%s is plainly spoken of in %j", (criterion, text) =>
  expect(judged(criterion, text)).toEqual({ strength: 1, isAgainst: false }),
);

test.each([
  ["single binary", "- Refactored benchmark code: data loading is now in a single file."],
  ["single binary", "Clustering much faster than standalone clustering libraries, like SciPy,"],
  ["Go", "Go to the settings page"],
  ["Go", "see [the guide](https://example.org/Go)"],
  ["concurrency", "synchronize the file system with the persistent storage IDBFS"],
  [
    "concurrency",
    "If compilation fails with `fatal error: postgres.h: No such file or directory`, look at the server.",
  ],
])("%s is not spoken of in %j", (criterion, text) => expect(judged(criterion, text)).toBeUndefined());

test.each([
  ["Go", "**Go bindings have been removed from this fork.**"],
  ["single binary", "It requires a running server."],
  ["streaming", "It does not support streaming."],
])("%s is denied in %j", (criterion, text) => expect(judged(criterion, text)?.isAgainst).toBe(true));

test("what there is more or less of is not denied by a not", () => {
  expect(judged("memory", "It does so without allocating 8 bytes of memory for each.")?.isAgainst).toBe(false);
});
