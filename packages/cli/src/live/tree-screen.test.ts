import { sampleEvents } from "@outerloop/client/testing";
import { beforeEach, describe, expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../testing/manual-clock.ts";
import { createFakeTerminal, type FakeTerminal } from "../testing/fake-terminal.ts";
import { plainStyle } from "../text/style.ts";
import { emptyGoalView, seeEvent, type GoalView } from "../view/goal-view.ts";
import { treeLines } from "../view/tree-lines.ts";
import { createTreeScreen } from "./tree-screen.ts";
import type { Progress } from "./progress.ts";

let clock: ManualClock;
beforeEach(() => void (clock = createManualClock()));

const events = sampleEvents();
const open = (terminal: FakeTerminal) => createTreeScreen({ out: terminal, style: plainStyle, clock });
/** Shows events `from` to `to`, a frame after each. */
function play(screen: Progress, from: number, to: number): GoalView {
  let view = events.slice(0, from).reduce(seeEvent, emptyGoalView);
  for (const event of events.slice(from, to)) {
    view = seeEvent(view, event);
    screen.see(view, event);
    clock.advance(60);
  }
  return view;
}

describe("the redrawn tree", () => {
  test("stands on the screen once while it grows, with steps and seconds below it", async () => {
    const terminal = createFakeTerminal(80, 30);
    terminal.write("before\n");
    const screen = open(terminal);
    clock.advance(2900);
    const view = play(screen, 0, 12);
    expect(await terminal.screen()).toEqual([
      "before",
      ...treeLines(view, { width: 79 }, plainStyle),
      "running  5 steps · 3 s",
    ]);
    screen.stop(view);
  });

  test("is left as it is when the goal ends, and what comes after stands below it", async () => {
    const terminal = createFakeTerminal(80, 30);
    const screen = open(terminal);
    const view = play(screen, 0, events.length);
    screen.stop(view);
    screen.stop(view);
    terminal.write("Answer\n");
    expect(await terminal.screen()).toEqual([...treeLines(view, { width: 79 }, plainStyle), "Answer"]);
  });

  test("of many lines shows what fits, and all of it at the end", async () => {
    const terminal = createFakeTerminal(80, 7);
    const screen = open(terminal);
    const halfway = play(screen, 0, 31);
    expect(await terminal.screen()).toHaveLength(treeLines(halfway, { width: 79, height: 4 }, plainStyle).length + 1);
    const view = play(screen, 31, events.length);
    screen.stop(view);
    expect(await terminal.screen()).toEqual(treeLines(view, { width: 79 }, plainStyle));
  });

  test("leaves nothing behind where the terminal becomes narrower, wider or lower in between", async () => {
    const terminal = createFakeTerminal(100, 30);
    terminal.write("before\n");
    const screen = open(terminal);
    play(screen, 0, 22);
    for (const [columns, rows] of [
      [50, 30],
      [44, 12],
      [90, 12],
      [60, 30],
      [100, 30],
    ] as const) {
      await terminal.resize(columns, rows);
      clock.advance(60);
      const view = events.slice(0, 22).reduce(seeEvent, emptyGoalView);
      expect((await terminal.screen()).slice(0, -1)).toEqual([
        "before",
        ...treeLines(view, { width: columns - 1, height: rows - 3 }, plainStyle),
      ]);
    }
    screen.stop(play(screen, 22, events.length));
    expect((await terminal.screen()).filter((line) => line.includes("plan  4 tasks"))).toHaveLength(1);
  });

  test("writes nothing where nothing changed, and one frame for a burst", () => {
    const terminal = createFakeTerminal(80, 30);
    const screen = open(terminal);
    play(screen, 0, 12);
    const before = terminal.written().length;
    clock.advance(200);
    expect(terminal.written().length).toBe(before);
    let view = events.slice(0, 12).reduce(seeEvent, emptyGoalView);
    for (const event of events.slice(12, 22)) {
      view = seeEvent(view, event);
      screen.see(view, event);
    }
    clock.advance(60);
    expect(
      terminal
        .written()
        .slice(before)
        .match(/\u001B\[\?2026h/g),
    ).toHaveLength(1);
    screen.stop(view);
  });

  test("shows trouble with the connection until it is over", async () => {
    const terminal = createFakeTerminal(80, 30);
    const screen = open(terminal);
    play(screen, 0, 4);
    screen.note("http://x refused the connection; trying again in 2 s\u001B[2J");
    clock.advance(60);
    expect((await terminal.screen()).at(-1)).toBe("http://x refused the connection; trying again in 2 s\\x1b[2J");
    const view = play(screen, 4, 5);
    expect((await terminal.screen()).at(-1)).toMatch(/^running/);
    screen.stop(view);
  });

  test("shows below a running task the line that is being written for it, safe to print, until its step has ended", async () => {
    const terminal = createFakeTerminal(60, 30);
    const screen = open(terminal);
    const running = events.findIndex((event) => event.type === "task.started") + 1;
    const view = play(screen, 0, running);
    const key = view.tasks.find((task) => task.status === "running")!.key;
    const call = { transient: true, task: key, stage: "execute", attempt: 1, seq: 1, output: null, try: 1 } as const;
    const before = await terminal.screen();
    const written = async (offset: number, text: string, change: object = {}) => {
      screen.hear!({ ...call, offset, text, ...change });
      clock.advance(60);
      return (await terminal.screen()).filter((line) => !before.includes(line)).map((line) => line.trim());
    };
    expect(await written(0, "# First\nI look\u001B[2J at ")).toEqual(["I look\\x1b[2J at"]);
    expect(await written(24, "it\n\n")).toEqual(["I look\\x1b[2J at it"]);
    expect(await written(28, "word ".repeat(15))).toEqual(["word word word word"]);
    // A try that failed begins again; JSON and the planner's calls are not shown.
    expect(await written(0, "Again", { try: 2 })).toEqual(["Again"]);
    expect(await written(0, "{}", { output: "verdict" })).toEqual(["Again"]);
    expect(await written(0, "plan", { task: null })).toEqual(["Again"]);
    const ended = { ...events[0]!, type: "step.model" as const, data: { key, attempt: 1, seq: 1 } };
    screen.see(view, ended);
    clock.advance(60);
    expect(await terminal.screen()).toEqual(before);
    await written(0, "more");
    screen.stop(view);
    expect((await terminal.screen()).join("\n")).not.toContain("more");
  });

  test("leaves no timer behind", () => {
    const screen = open(createFakeTerminal(80, 30));
    screen.stop(play(screen, 0, 5));
    expect(clock.pending).toBe(0);
  });
});
