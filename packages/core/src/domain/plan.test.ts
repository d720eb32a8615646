import { expect, test } from "vitest";
import { outputSpecs, planSchema, verdictSchema } from "./plan.ts";

test("only what cannot be guessed is required of a plan; null, absent and odd values get defaults", () => {
  expect(planSchema.parse({ done: false, tasks: [{ id: 1, text: " look " }] })).toEqual({
    done: false,
    final_answer: "",
    tasks: [{ id: "1", text: "look", depends_on: [], tools: [], evidence: [], difficulty: "normal" }],
  });
  expect(planSchema.parse({ done: true, tasks: null, final_answer: "x" }).tasks).toEqual([]);
  expect(
    planSchema.parse({ done: false, tasks: [{ id: "a", text: "b", difficulty: "brutal", tools: "none" }] }).tasks[0],
  ).toMatchObject({ difficulty: "normal", tools: [] });
});

test("evidence that cannot be read is left out, the rest of it stays", () => {
  const { tasks } = planSchema.parse({
    done: false,
    tasks: [
      {
        id: "a",
        text: "b",
        evidence: [{ artifact: "r.md", contains: null }, { what: 1 }, { tool: "x" }, { note: true }],
      },
    ],
  });
  expect(tasks[0]?.evidence).toEqual([{ artifact: "r.md" }, { tool: "x" }, { note: "true" }]);
});

test("a plan without done or a task without text is no plan", () => {
  expect(planSchema.safeParse({ tasks: [] }).success).toBe(false);
  expect(planSchema.safeParse({ done: false, tasks: [{ id: "a" }] }).success).toBe(false);
  expect(verdictSchema.safeParse({ status: "maybe" }).success).toBe(false);
  expect(verdictSchema.parse({ status: "done", reason: null })).toEqual({
    status: "done",
    reason: "",
    new_tasks: [],
    lesson: "",
  });
});

test("every object that a model is shown is strict: all fields required, none additional", () => {
  const check = (schema: unknown): void => {
    if (typeof schema !== "object" || schema === null) return;
    if ("properties" in schema && "required" in schema) {
      expect(schema).toMatchObject({ additionalProperties: false, required: Object.keys(schema.properties as object) });
    }
    for (const value of Object.values(schema)) check(value);
  };
  for (const spec of Object.values(outputSpecs)) check(spec.schema);
});
