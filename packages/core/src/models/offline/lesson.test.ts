import { expect, test } from "vitest";
import { maxLessonChars, readLesson, renderLesson, type Account, type Lesson } from "./lesson.ts";

const lesson: Lesson & Account = {
  question: "Which kettle suits a small kitchen, and why?",
  scope: "kettles/",
  criteria: ["size", "noise"],
  queries: ["size litres", "noise dB quiet loud hum whistle boil"],
  fruitful: [
    { path: "kettles/README.md", line: 12, about: "size" },
    { path: "kettles/my notes.md", line: 3, about: "noise" },
  ],
  fruitless: [{ path: "kettles/CHANGELOG.md", from: 1, to: 40 }],
  isBroad: false,
};

test("a lesson is a text that a person can read, and reads back as it was meant", () => {
  const text = renderLesson(lesson);
  expect(text).toBe(
    [
      "Situation: find what kettles/ says to the question “Which kettle suits a small kitchen, and why?”; criteria: size, noise.",
      "Tried: searched for “size litres”, “noise dB quiet loud hum whistle…”; of no use was `kettles/CHANGELOG.md` 1-40.",
      "Outcome: lines that speak to it were found.",
      "Next time: search once, then read only around `kettles/README.md` line 12 (size), `kettles/my notes.md` line 3 (noise).",
    ].join("\n"),
  );
  const { queries: _queries, fruitless: _fruitless, ...read } = lesson;
  expect(readLesson(text)).toEqual(read);
});

test("that nothing was found is a lesson too", () => {
  const text = renderLesson({ ...lesson, criteria: [], fruitful: [], isBroad: true });
  expect(text).toContain("Outcome: nothing there speaks to it, nor with fewer words.");
  expect(readLesson(text)).toMatchObject({ fruitful: [], isBroad: true });
});

test("a lesson stays short and readable however long what it tells of is", () => {
  const long = "a/".repeat(120);
  const text = renderLesson({
    ...lesson,
    question: "kettle ".repeat(90),
    scope: long,
    fruitful: [1, 2, 3, 4].map((line) => ({ path: `${long}${line}.md`, line })),
  });
  expect(text.length).toBeLessThanOrEqual(maxLessonChars);
  expect(readLesson(text)).toBeDefined();
});

test.each([
  ["another's words", "Look twice before you leap."],
  ["half of the labels", "Situation: find what a says to the question “b”.\nTried: c."],
])("%s is no lesson that can be read back", (_what, text) => {
  expect(readLesson(text)).toBeUndefined();
});
