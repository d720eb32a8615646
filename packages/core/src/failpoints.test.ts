import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { readConfig } from "./config.ts";
import { armFailpoint, failpoint, failpointNames, parseFailpoint } from "./failpoints.ts";

test("a failpoint is named with its pass and what happens there", () => {
  expect(parseFailpoint("plan.claimed")).toEqual({ name: "plan.claimed", hit: 1, signal: "SIGKILL" });
  expect(parseFailpoint("plan.claimed:3")).toEqual({ name: "plan.claimed", hit: 3, signal: "SIGKILL" });
  expect(parseFailpoint("plan.claimed:3:stop")).toEqual({ name: "plan.claimed", hit: 3, signal: "SIGSTOP" });
  for (const wrong of ["", "plan", "plan.claimed:0", "plan.claimed:-1", "plan.claimed:stop", "plan.claimed:1:kill"])
    expect(parseFailpoint(wrong), wrong).toBeUndefined();
});

test("an unknown failpoint refuses to start and lists those that there are; none is armed by default", () => {
  expect(readConfig({}).failpoint).toBeNull();
  expect(readConfig({ OUTERLOOP_FAILPOINT: "" }).failpoint).toBeNull();
  expect(readConfig({ OUTERLOOP_FAILPOINT: "effect.sent:2" }).failpoint).toMatchObject({ name: "effect.sent", hit: 2 });
  const unknown = () => readConfig({ OUTERLOOP_FAILPOINT: "effect.send" });
  for (const name of failpointNames) expect(unknown).toThrow(name);
});

test("a failpoint that is not armed does nothing", () => {
  armFailpoint(null);
  for (const name of failpointNames) failpoint(name);
});

test("the process dies at the named pass through the named place, and at no other", async () => {
  const script = `
    import { armFailpoint, failpoint, parseFailpoint } from ${JSON.stringify(import.meta.resolve("./failpoints.ts"))};
    import { writeSync } from "node:fs";
    armFailpoint(parseFailpoint("tool.ran:2"));
    for (const name of ["tool.ran", "effect.sent", "tool.ran", "tool.ran"]) {
      writeSync(1, "before " + name + "\\n");
      failpoint(name);
      writeSync(1, "after\\n");
    }`;
  const run = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script]);
  await expect(run).rejects.toMatchObject({
    signal: "SIGKILL",
    stdout: "before tool.ran\nafter\nbefore effect.sent\nafter\nbefore tool.ran\n",
  });
});
