import { expect, test } from "vitest";
import { planSchema } from "../domain/plan.ts";
import { checkPlan } from "./plan.ts";

const known = {
  keys: new Set(["t1"]),
  tools: new Set(["look", "write_file"]),
  makesFiles: (name: string) => name === "write_file",
};
const plan = (tasks: readonly object[], rest: object = {}) =>
  planSchema.parse({ done: false, tasks: tasks.map((task) => ({ text: "do", ...task })), ...rest });

test("a plan whose dependencies and tools exist is accepted, also on tasks of earlier plans and in any order", () => {
  expect(checkPlan(plan([{ id: "t3", depends_on: ["t2", "t1"], tools: ["look"] }, { id: "t2" }]), known)).toMatchObject(
    { kind: "tasks" },
  );
});

test.each([
  ["two tasks of one id", [{ id: "a" }, { id: "a" }], /Two tasks have the id "a"/],
  ["a dependency that does not exist", [{ id: "a", depends_on: ["b"] }], /"a" depends on "b", which does not exist/],
  ["a task that needs itself", [{ id: "a", depends_on: ["a"] }], /"a" depends on itself/],
  [
    "a tool that does not exist",
    [{ id: "a", tools: ["fly"] }],
    /"fly", which does not exist. There are: look, write_file/,
  ],
  [
    "a circle",
    [{ id: "a", depends_on: ["c"] }, { id: "b", depends_on: ["a"] }, { id: "c", depends_on: ["b"] }, { id: "d" }],
    /in a circle: a → c → b → a/,
  ],
  [
    "evidence of a tool that the task is not offered",
    [{ id: "a", tools: ["look"], evidence: [{ tool: "write_file" }] }],
    /evidence of task "a" names the tool "write_file", which the task is not offered/,
  ],
  [
    "evidence outside of the workspace",
    [{ id: "a", evidence: [{ artifact: "/etc/x.md" }] }],
    /"\/etc\/x.md": paths are/,
  ],
  [
    "a file that none of its tools can write",
    [{ id: "a", text: "Write the list to a.md", tools: ["look"] }],
    /is to write a.md, but is offered no tool that writes files/,
  ],
])("%s is sent back with the reason", (_, tasks, why) => {
  expect(checkPlan(plan(tasks), known)).toEqual({ kind: "invalid", why: expect.stringMatching(why) as string });
});

test("done needs an answer; without tasks and not done a goal is unsupported where the planner says so, else nothing is left", () => {
  expect(checkPlan(plan([], { done: true }), known).kind).toBe("invalid");
  expect(checkPlan(plan([], { done: true, final_answer: " yes " }), known)).toEqual({ kind: "done", answer: "yes" });
  expect(checkPlan(plan([], { final_answer: "Unsupported: no mail tool" }), known)).toEqual({
    kind: "unsupported",
    why: "no mail tool",
  });
  expect(checkPlan(plan([]), known).kind).toBe("nothing");
});

test("a plan of more tasks than it may have is sent back with both numbers", () => {
  const tasks = Array.from({ length: 4 }, (_, index) => ({ id: `a${index}` }));
  expect(checkPlan(plan(tasks), known, 4).kind).toBe("tasks");
  expect(checkPlan(plan(tasks), known, 3)).toEqual({
    kind: "invalid",
    why: expect.stringContaining("has 4 tasks, more than the 3") as string,
  });
});
