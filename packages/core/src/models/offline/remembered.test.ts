import { expect, test } from "vitest";
import { section } from "../../domain/section.ts";
import { renderLesson, type Account, type Lesson } from "./lesson.ts";
import { readPrompt } from "./prompt.ts";
import { likenessOf, rememberedFor } from "./remembered.ts";
import { readQuestion } from "./question.ts";
import { isInScope, type ResearchTask } from "./research-task.ts";

const lesson: Lesson & Account = {
  question: "How many kettles can be watched at once?",
  scope: "guides",
  criteria: [],
  queries: [],
  fruitful: [{ path: "README.md", line: 13 }],
  fruitless: [],
  isBroad: false,
};

function remembered(lessons: readonly (Lesson & Account)[], task: Partial<ResearchTask>, kind = "lesson") {
  const whole: ResearchTask = { question: "What is the most kettles that can be watched?", scope: ["guides"], ...task };
  const prompt = readPrompt({
    stage: "execute",
    system: "",
    messages: [{ role: "user", parts: lessons.map((each) => section("memory", { kind }, renderLesson(each))) }],
    tools: [],
    maxOutputTokens: 1,
  });
  return rememberedFor(prompt, whole, whole.scope.join(", "), (place) => isInScope(place.path, whole.scope));
}

test.each([
  ["How many kettles can be watched at once?", "What is the most kettles that can be watched?", true],
  ["Which licence do the engines have?", "Under which license is each engine published?", true],
  ["How many kettles can be watched at once?", "How do I install the kettle daemon?", false],
  ["How many dimensions can an index have?", "How do I build an index?", false],
])("%s | %s: of one kind is %s", (a, b, isLike) => {
  expect(likenessOf(readQuestion(a).terms, readQuestion(b).terms) >= 0.6).toBe(isLike);
});

test("a lesson of a like question tells where to look, one of another question nothing", () => {
  expect(remembered([lesson], {})).toEqual({ places: [{ path: "README.md", line: 13 }], isBroad: false });
  expect(remembered([lesson], { question: "How do I install the daemon?" })).toBeUndefined();
});

test("only lessons count: a result that was kept, in the same words, is not read", () => {
  expect(remembered([lesson], {}, "task_result")).toBeUndefined();
  expect(remembered([lesson], {}, "answer")).toBeUndefined();
});

test("places outside of the task's scope are left out, and the number of those used is bounded", () => {
  const many = Array.from({ length: 4 }, (_, at) => ({ path: "README.md", line: at * 100 + 1 }));
  const others = many.map(({ line }) => ({ path: "b.md", line }));
  expect(remembered([{ ...lesson, fruitful: [{ path: "src/a.py", line: 1 }] }], {})).toBeUndefined();
  expect(
    remembered(
      [
        { ...lesson, fruitful: many },
        { ...lesson, fruitful: others },
      ],
      {},
    )?.places,
  ).toHaveLength(4);
});

test("that nothing was found counts only where it was looked for", () => {
  const nothing = { ...lesson, fruitful: [], isBroad: true };
  expect(remembered([nothing], {})).toEqual({ places: [], isBroad: true });
  expect(remembered([{ ...nothing, scope: "change histories" }], {})).toBeUndefined();
});

test("a comparison uses what lessons on its candidate say of its criteria", () => {
  const compared: Lesson & Account = {
    ...lesson,
    scope: "alpha/",
    criteria: ["Go", "license"],
    fruitful: [
      { path: "alpha/README.md", line: 4, about: "Go" },
      { path: "alpha/README.md", line: 90, about: "license" },
    ],
  };
  const task = { scope: ["alpha/"], criteria: ["Go", "speed"] };
  expect(remembered([compared], task)?.places).toEqual([{ path: "alpha/README.md", line: 4, about: "Go" }]);
  expect(remembered([compared], { ...task, criteria: ["speed"] })).toBeUndefined();
  expect(remembered([{ ...compared, scope: "beta/" }], task)).toBeUndefined();
});
