import { numbered, sampleEvents } from "@outerloop/client/testing";
import { eventTypes } from "@outerloop/core/domain";
import { describe, expect, test } from "vitest";
import { emptyGoalView, seeEvent, shownStatus, subtasksOf } from "./goal-view.ts";

const see = (...lines: Parameters<typeof numbered>[0]) => numbered(lines).reduce(seeEvent, emptyGoalView);

describe("a goal as its events tell it", () => {
  test("has its tasks in the plan's order, with attempts, calls and verdicts", () => {
    const view = sampleEvents().reduce(seeEvent, emptyGoalView);
    expect(view.status).toBe("succeeded");
    expect(view.rounds).toEqual([{ round: 1, taskIds: ["t_t1", "t_t2", "t_t3", "t_t4"] }]);
    const [t1, t2, t3] = view.tasks;
    expect(t1?.attempts[0]?.calls.map((call) => call.tool)).toEqual(["search_files", "read_file"]);
    expect(t2?.attempts.map((attempt) => [attempt.attempt, attempt.hint, attempt.verdict?.status])).toEqual([
      [1, null, "retry"],
      [2, "no figure cited", "done"],
    ]);
    expect(subtasksOf(view, t3!).map((task) => task.key)).toEqual(["t3a", "t3b"]);
    expect(view.models).toEqual(["offline/research"]);
  });

  test("shows a split task as done when all that stand in for it are", () => {
    const events = sampleEvents();
    const split = (upTo: string) => {
      const view = events
        .slice(0, events.findIndex((event) => event.type === "task.done" && event.data["key"] === upTo) + 1)
        .reduce(seeEvent, emptyGoalView);
      return shownStatus(
        view,
        view.tasks.find((task) => task.key === "t3")!,
      );
    };
    expect(split("t3a")).toBe("split");
    expect(split("t3b")).toBe("done");
  });

  test("shows a tool as soon as it is asked for, and once", () => {
    const asked = see(
      ["task.created", "t1", { text: "x", depends_on: [] }],
      ["task.started", "t1", { attempt: 1 }],
      ["step.model", "t1", { stage: "execute", attempt: 1, calls: ["read_file", "read_file"] }],
      ["step.tool", "t1", { attempt: 1, tool: "read_file", about: "a" }],
    );
    expect(asked.tasks[0]?.attempts[0]).toMatchObject({
      asked: ["read_file"],
      calls: [{ tool: "read_file", about: "a" }],
    });
    expect(asked.steps).toBe(2);
  });

  test("keeps each plan's tasks together", () => {
    const view = see(
      ["goal.planned", null, { round: 1, tasks: ["t1"] }],
      ["task.created", "t1", {}],
      ["goal.planned", null, { round: 2, tasks: ["t2"] }],
      ["task.created", "t2", {}],
    );
    expect(view.rounds.map((round) => round.taskIds)).toEqual([["t_t1"], ["t_t2"]]);
  });

  test("takes any event of any server without falling over", () => {
    for (const type of eventTypes) {
      for (const data of [{}, { key: 1, calls: "x", depends_on: null, attempt: "one", ms: null }]) {
        expect(() =>
          [...sampleEvents(), { seq: 99, type, task: "t_t1", data, at: "2026-03-01T12:00:00.000Z" }].reduce(
            seeEvent,
            emptyGoalView,
          ),
        ).not.toThrow();
      }
    }
  });
});
