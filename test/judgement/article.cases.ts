/** The article's run comes about on the real parts, and the command line tells it as plainly as the article does. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { article, finalAnswer, goalText, hint, parts } from "./models/article.ts";
import { eventsOf, expectBounded, expectEnd, taskOf, tell } from "./support/facts.ts";
import type { House, Run } from "./support/house.ts";

export function articleCases(house: () => House): void {
  let run: Run;
  beforeAll(async () => {
    run = await house().play(article);
  }, 120_000);

  test("six tasks, one retried with a hint, one split in two, and the answer", () => {
    expectBounded(run);
    expectEnd(run, "succeeded", null);
    expect(run.goal.final_answer).toBe(finalAnswer);
    expect(run.goal.tasks.map((task) => `${task.key} ${task.status} ${task.attempt}`).toSorted(), tell(run)).toEqual([
      "t1 done 1",
      "t2 done 1",
      "t3 done 1",
      "t4 done 2",
      "t5 split 1",
      "t5a done 1",
      "t5b done 1",
      "t6 done 1",
    ]);
    expect(eventsOf(run, "task.retried")).toMatchObject([{ data: { key: "t4", hint } }]);
    expect(eventsOf(run, "task.split")).toMatchObject([{ data: { key: "t5", into: ["t5a", "t5b"] } }]);
    // What depended on the split task waited for what stands in for it.
    const starts = eventsOf(run, "task.started").map((event) => event.data["key"]);
    expect(starts.at(-1)).toBe("t6");
    expect(taskOf(run, "t6").depends_on.toSorted()).toEqual(["t3", "t4", "t5a", "t5b"]);
  });

  test("show tells it: what was planned, what ran, what was asked of tools, what was judged, what came out", async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        "packages/cli/src/main.ts",
        "show",
        run.goal.id,
        "--url",
        house().deployment.url,
        "--key",
        house().deployment.apiKey,
      ],
      { env: { ...process.env, NO_COLOR: "1", COLUMNS: "140" } },
    );
    const lines = stdout.split("\n").map((line) => line.trimEnd());
    const at = (...words: readonly string[]) => {
      const index = lines.findIndex((line) => words.every((word) => line.includes(word)));
      expect(index, `${words.join(" … ")} in:\n${stdout}`).toBeGreaterThanOrEqual(0);
      return index;
    };
    const inOrder = [
      at(goalText.slice(0, 40)),
      at("Plan 1", "6 tasks"),
      at("t1", "search sqlite vector extensions", "done"),
      at("web_search", "sqlite vector extensions 2026"),
      at("Three primary candidates"),
      at("t2", "list candidates", "done"),
      at("verdict done: already covered by previous task"),
      at("t3", "evaluate sqlite-vec", "done"),
      at("web_fetch", "https://github.com/asg017/sqlite-vec"),
      at("web_fetch", "https://alexgarcia.xyz/sqlite-vec/"),
      at("t4", "evaluate sqlite-vss", "done"),
      at("attempt 1"),
      at(`verdict retry: ${hint}`),
      at("attempt 2", hint),
      at("web_search", "sqlite-vss benchmark p99"),
      at("P99 250ms"),
      at("t5", "evaluate libsql vector"),
      at("split → t5a, t5b"),
      at("t5a", parts[0], "done"),
      at("t5b", parts[1], "done"),
      at("t6", "compare and recommend", "done"),
      at("Use sqlite-vec. Pure C, MIT"),
    ];
    expect(inOrder, stdout).toEqual(inOrder.toSorted((a, b) => a - b));
    // A screen or two, and no line that a terminal of 140 columns breaks.
    expect(lines.length).toBeLessThan(120);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(140);
  }, 120_000);
}
