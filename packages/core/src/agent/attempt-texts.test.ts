import { expect, test } from "vitest";
import type { ToolStep } from "../domain/step.ts";
import { feasibleIntake, isWorkspacePath, plainIntake } from "./intake.ts";
import { composeLesson } from "./lesson.ts";
import { observationPath, observe } from "./observation.ts";
import { shareEvidence } from "./split.ts";

const called = (name: string, ok = true): ToolStep => ({
  kind: "tool",
  attempt: 1,
  seq: 2,
  stage: "execute",
  durationMs: 1,
  name,
  args: { path: "a.md" },
  ok,
  output: { callId: "c", text: "" },
});
const task = { text: "Find the price.\n\nDetails", attempt: 1, hint: null };

test("a lesson says situation, what was tried, outcome and what to do next time", () => {
  const verdict = { reason: "no numbers", lesson: "" };
  expect(composeLesson(task, [called("read_file", false)], verdict, { to: "ready", hint: "no numbers" })).toBe(
    'Situation: Find the price.\nTried: read_file {"path":"a.md"} (failed)\nOutcome: attempt 1 was not accepted: no numbers\nNext time: see to this before answering: no numbers',
  );
  expect(composeLesson(task, [], { ...verdict, lesson: "Ask Ann." }, { to: "abandoned", reason: "x" })).toContain(
    "Outcome: given up after 1 attempt: no numbers\nNext time: Ask Ann.",
  );
  expect(composeLesson({ ...task, attempt: 2, hint: "say numbers" }, [], verdict, { to: "done", wants: [] })).toContain(
    "Outcome: done at attempt 2\nNext time: do at once what the hint asked for: say numbers",
  );
});

test("where all went well only the reviewer's own lesson is kept, and one that has the four parts as it is", () => {
  const own = (lesson: string) => composeLesson(task, [], { reason: "", lesson }, { to: "done", wants: [] });
  expect(own(" ")).toBeNull();
  expect(own("Situation: a\nTried: b\nOutcome: c\nNext time: d")).toBe(
    "Situation: a\nTried: b\nOutcome: c\nNext time: d",
  );
  expect(own("Look at a.md first.")).toContain("Next time: Look at a.md first.");
});

test("a long result is shown by its beginning and its end, and says where the whole is", () => {
  const path = observationPath({ key: "t4a", attempt: 2 }, 7);
  expect(path).toBe("tool-results/t4a-2-7.txt");
  const text = Array.from({ length: 5000 }, (_, index) => `line ${index}`).join("\n");
  const { text: shown, whole } = observe(text, path, 20_000);
  expect(whole).toBe(text);
  expect(shown.length).toBeLessThan(9000);
  expect(shown.startsWith("line 0\nline 1\n")).toBe(true);
  expect(shown.endsWith("line 4999")).toBe(true);
  expect(shown).toContain(`All ${text.length} characters (5000 lines) are in the file ${path}`);
  expect(observe("short", path)).toEqual({ text: "short", whole: null });
});

test("a split shares its contract out: what a part names is that part's, the rest is the last one's, after the others", () => {
  const evidence = [{ artifact: "a.md" }, { note: "price" }, { tool: "send_mail" }];
  expect(shareEvidence({ evidence }, ["Write a.md", "Note the price", "Tell Ann"])).toEqual([
    { text: "Write a.md", evidence: [{ artifact: "a.md" }], after: [] },
    { text: "Note the price", evidence: [{ note: "price" }], after: [] },
    { text: "Tell Ann", evidence: [{ tool: "send_mail" }], after: [0, 1] },
  ]);
  expect(shareEvidence({ evidence: [] }, ["a", "b"]).map((share) => share.after)).toEqual([[], []]);
});

test("an intake keeps what can be met", () => {
  const intake = {
    ...plainIntake({ text: "Write a.md" }),
    evidence: [
      { artifact: "a.md" },
      { artifact: "../x.md" },
      { tool: "write_file" },
      { tool: "fly" },
      { citations: 2 },
    ],
  };
  expect(feasibleIntake(intake, new Set(["write_file"])).evidence).toEqual([
    { artifact: "a.md" },
    { tool: "write_file" },
    { citations: 2 },
  ]);
  expect(["a/b.md", "/a.md", "a/../b.md", "a//b.md", "a\\b.md"].map(isWorkspacePath)).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});
