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
  [["run", "go", "--model", "gpt"], /"gpt" is no model; write STAGE=PROVIDER\/MODEL/],
  [["run", "go", "-m", "embed=openai/a"], /There is no stage "embed": they are intake, plan/],
  [["reroute", "g_7k2", "-m", "plan=\u001b[2Jx"], /"plan=\\x1b\[2Jx" is no model/],
  [["reroute", "g_none", "-m", "openai/a"], /There is no goal g_none/],
  [["usage", "g_7k2", "--from", "2026-11-01"], /--from and --to are of all goals/],
  [["models", "tests"], /unknown command|too many arguments/],
  [["pause", "g_7k2"], /has already succeeded/],
  [["frobnicate"], /unknown command/],
  [["list", "--key", "wrong"], /This key is not known/],
] as const)("%j is refused with exit code 2, and nothing is posted", async (args, message) => {
  const { code, stdout, stderr } = await run(...args);
  expect(stderr).toMatch(message);
  expect([code, stdout]).toEqual([2, ""]);
  expect(server.received.filter((each) => each.path === "/v1/goals" && each.method === "POST")).toEqual([]);
});

const posted = () => server.received.filter((each) => ["POST", "PUT"].includes(each.method));
const wishes = () => (JSON.parse(posted().at(-1)!.body) as { models?: unknown }).models;

test("--model of a run names models by stage, in order of preference; a stage's own wins over what is for all", async () => {
  const { code } = await run("run", "-m", "openai/a", "--model", "plan=other/b, other/c", "go");
  expect(code).toBe(0);
  const all = ["openai/a"];
  expect(wishes()).toEqual({ intake: all, plan: ["other/b", "other/c"], execute: all, reflect: all, hard: all });
});

test("reroute says what is asked from now on, of a goal or of a task, and without models goes back to the routes", async () => {
  expect(await run("reroute", "7k2", "--task", "t1", "-m", "hard=openai/a,other/b", "-m", "plan=x/y")).toMatchObject({
    code: 0,
    stdout: "7k2 t1 asks from its next call on: hard openai/a, else other/b · plan x/y\n",
  });
  expect(JSON.parse(posted().at(-1)!.body)).toEqual({
    models: { hard: ["openai/a", "other/b"], plan: ["x/y"] },
    task: "t1",
  });
  expect(await run("reroute", "7k2")).toMatchObject({ code: 0, stdout: "7k2 goes by the routes.\n" });
  expect(wishes()).toEqual({});
});

test("models test ends with 1 where a model does not serve, and with 0 where all do", async () => {
  const ok = { name: "openai/a", uses: ["plan"], ok: true, ms: 3, detail: "ok\u0007" };
  server.modelTest = { looks: 0, results: [ok] };
  expect(await run("models", "test")).toEqual({
    code: 0,
    stdout: "✓ openai/a  3 ms · plan · it said: ok\\x07\n",
    stderr: "",
  });
  server.modelTest = { looks: 0, results: [ok, { ...ok, ok: false, detail: "no such model" }] };
  expect(await run("models", "test")).toMatchObject({ code: 1, stdout: expect.stringContaining("no such model") });
  const { stdout } = await run("models", "test", "--json");
  expect(JSON.parse(stdout)).toEqual(server.modelTest.results);
});

test("models and usage answer as lines and as JSON", async () => {
  expect((await run("models")).stdout).toBe("No process that calls models has told its routes yet.\n");
  expect(JSON.parse((await run("models", "--json")).stdout)).toMatchObject({
    views: [],
    spend: { day: { total: { calls: 0 } }, month: {} },
  });
  expect((await run("usage", "g_7k2")).stdout).toBe("No model was called.\n");
  expect(JSON.parse((await run("usage", "--from", "2026-11-02", "--json")).stdout)).toMatchObject({ rows: [] });
  expect(server.received.at(-1)?.query.toString()).toBe("from=2026-11-02");
});
