import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import {
  sampleEvents,
  sampleGoal,
  sampleStep,
  startContractServer,
  type ContractServer,
} from "@outerloop/client/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createContext } from "./commands/context.ts";
import { runProgram } from "./program.ts";
import { tempFolder } from "./testing/temp-folder.ts";
import { envFor } from "./testing/run-cli.ts";

let server: ContractServer;
beforeEach(async () => {
  server = await startContractServer([
    { goal: sampleGoal(), events: sampleEvents(), steps: [sampleStep()], shown: [{ ...sampleStep(), request: null }] },
  ]);
});
afterEach(() => server.close());

async function run(...args: readonly string[]) {
  const [out, err] = [new PassThrough(), new PassThrough()];
  let code = 0;
  const interrupts = { listen: () => () => undefined, quit: () => undefined };
  const context = createContext({
    env: envFor(server),
    cwd: await tempFolder(),
    root: "/nowhere",
    out,
    err,
    interrupts,
    readStdin: async () => "",
    exitWith: (given) => (code = given),
  });
  await runProgram(context, args);
  out.end();
  err.end();
  return { code, stdout: await text(out), stderr: await text(err) };
}

test.each([
  [["run"], /Which goal\?/],
  [["run", " "], /The goal has no text/],
  [["run", "go", "--attach", "nope"], /There is no file or folder nope to attach/],
  [["run", "go", "--budget-wall", "soon"], /It must be a time of at least a second/],
  [["run", "go", "--budget-steps", "0"], /It must be at least 1/],
  [["run", "go", "--planning", "never"], /adaptive, every-step or every-N/],
  [["run", "go", "--label", "novalue"], /key=value/],
  [["run", "go", "--colour"], /unknown option/],
  [["list", "--status", "odd"], /Allowed choices are queued/],
  [["show"], /missing required argument/],
  [["show", "g_unknown"], /There is no goal g_unknown/],
  [["show", "g_7k2.99"], /has no step 99/],
  [["show", "g_7k2", "--request"], /--request is of a step/],
  [["show", "t_t1.1.2", "--request"], /called a tool/],
  [["files", "g_7k2", "nope.md"], /nothing here/],
  [["prune"], /required option '--older-than/],
  [["prune", "--older-than", "90d"], /DATABASE_URL is not set/],
  [["migrate"], /DATABASE_URL is not set/],
  [["migrate", "--wait", "--timeout", "soon"], /It must be a time of at least a second/],
  [["pause", "g_7k2"], /has already succeeded/],
  [["frobnicate"], /unknown command/],
  [["list", "--key", "wrong"], /This key is not known/],
] as const)("%j is refused with exit code 2, and nothing is posted", async (args, message) => {
  const { code, stdout, stderr } = await run(...args);
  expect(stderr).toMatch(message);
  expect([code, stdout]).toEqual([2, ""]);
  expect(server.received.filter((each) => each.path === "/v1/goals" && each.method === "POST")).toEqual([]);
});
