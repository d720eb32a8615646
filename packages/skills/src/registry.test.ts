import { expect, test } from "vitest";
import { z } from "zod";
import {
  OuterloopError,
  type ExternalTool,
  type Skill,
  type StoredWrite,
  type ToolOutcome,
} from "@outerloop/core/domain";
import { createBuiltInSkills } from "./built-in.ts";
import { createRegistry } from "./registry.ts";
import { createMemoryContext } from "./testing/memory-context.ts";
import { defineTool } from "./tool.ts";
import { createWaitingSkill } from "./waiting/index.ts";

function skillOf(name: string, run: (text: string, signal: AbortSignal) => Promise<string>, timeoutMs = 1000): Skill {
  const tool = defineTool({
    name,
    version: "1",
    description: "for a test",
    effect: "pure",
    timeoutMs,
    input: z.object({ text: z.string(), count: z.int().nullish() }),
    run: async (args, context) => ({ ok: true, text: await run(args.text, context.signal) }),
  });
  return { name: `${name}-skill`, description: "", tools: [tool] };
}
const echo = skillOf("echo", async (text) => text);
const context = createMemoryContext();

test("the built-in skills offer exactly the tools that the contract names", () => {
  const names = createRegistry(createBuiltInSkills())
    .specs()
    .map((spec) => spec.name);
  expect(names.sort()).toEqual([
    "append_to_file",
    "list_completed",
    "list_files",
    "read_file",
    "recall",
    "search_files",
    "sleep_for",
    "sleep_until",
    "wait_for_signal",
    "write_file",
    "write_note",
  ]);
});

/** Reaches out, or does not answer. */
const reaching = (run: () => Promise<ToolOutcome>, more: Partial<ExternalTool<{ text: string }>> = {}): Skill => ({
  name: "reaching",
  description: "",
  tools: [
    defineTool<{ text: string }>({
      name: "reach",
      version: "1",
      description: "for a test",
      effect: "external",
      timeoutMs: 20,
      input: z.object({ text: z.string() }),
      run,
      ...more,
    }),
  ],
});

test("an external call that does not answer may have happened; one that says no did not", async () => {
  const call = { name: "reach", args: { text: "x" } };
  const run = (body: () => Promise<ToolOutcome>) => createRegistry([reaching(body)]).run(call, context);
  expect(await run(() => new Promise(() => undefined))).toMatchObject({ ok: false, unknown: true });
  expect(await run(() => Promise.reject(new Error("cut off")))).toMatchObject({ ok: false, unknown: true });
  expect(await run(async () => ({ ok: false, text: "no" }))).toEqual({ ok: false, text: "no" });
  expect(
    await createRegistry([reaching(async () => ({ ok: true, text: "" }))]).run({ name: "reach", args: {} }, context),
  ).not.toHaveProperty("unknown");
});

test("whether a receiver deduplicates is said for all calls or for these arguments, and is no by default", () => {
  const call = { name: "reach", args: { text: "x" } };
  const says = (deduplicates: ExternalTool<{ text: string }>["deduplicates"]) =>
    createRegistry([
      reaching(async () => ({ ok: true, text: "" }), deduplicates === undefined ? {} : { deduplicates }),
    ]).deduplicates(call);
  expect([
    says(undefined),
    says(false),
    says(true),
    says(({ text }) => text === "x"),
    says(({ text }) => text === "y"),
  ]).toEqual([false, false, true, true, false]);
  expect(createRegistry([echo]).deduplicates({ name: "echo", args: { text: "x" } })).toBe(false);
});

test("a probe that fails, hangs or is not there knows nothing", async () => {
  const call = { name: "reach", args: { text: "x" } };
  const probe = (reconcile?: ExternalTool<{ text: string }>["reconcile"]) =>
    createRegistry([
      reaching(async () => ({ ok: true, text: "" }), reconcile === undefined ? {} : { reconcile }),
    ]).probe(call, context);
  expect(await probe()).toEqual({ kind: "unknown" });
  expect(await probe(() => Promise.reject(new Error("away")))).toEqual({ kind: "unknown" });
  expect(await probe(() => new Promise(() => undefined))).toEqual({ kind: "unknown" });
  expect(await probe(async (_args, { idempotencyKey }) => ({ kind: "done", text: idempotencyKey }))).toEqual({
    kind: "done",
    text: "key",
  });
});

test("only a tool without effects may ask to wait", async () => {
  const wait = { ok: true, text: "", wait: { kind: "timer", name: "x", forMs: 1 } } as const;
  expect(
    await createRegistry([reaching(async () => wait)]).run({ name: "reach", args: { text: "" } }, context),
  ).toMatchObject({
    ok: false,
    text: expect.stringContaining("only a tool without effects"),
  });
});

test("tools to wait by ask for a wait as data, within a year", async () => {
  const registry = createRegistry([createWaitingSkill(() => Date.parse("2026-11-21T00:00:00Z"))]);
  const run = (name: string, args: Record<string, string | number>) => registry.run({ name, args }, context);
  expect(await run("sleep_until", { at: "2027-01-04T09:00:00+01:00" })).toMatchObject({
    wait: { kind: "timer", until: "2027-01-04T09:00:00+01:00" },
  });
  expect(await run("sleep_until", { at: "2028-01-04T09:00:00Z" })).toMatchObject({ ok: false });
  expect(await run("sleep_until", { at: "next monday" })).toMatchObject({ ok: false });
  expect(await run("sleep_for", { seconds: 90.5 })).toMatchObject({ wait: { kind: "timer", forMs: 90_500 } });
  expect(await run("sleep_for", { seconds: 1e9 })).toMatchObject({ ok: false });
  expect(await run("wait_for_signal", { name: "go" })).toMatchObject({
    wait: { kind: "signal", name: "go", forMs: 604_800_000, onDeadline: "continue" },
  });
  expect(await run("wait_for_signal", { name: " " })).toMatchObject({ ok: false });
});

test("a model is told of a tool as a JSON schema of an object", () => {
  const [spec] = createRegistry([echo]).specs(["echo", "nothing"]);
  expect(spec).toMatchObject({
    name: "echo",
    parameters: { type: "object", required: ["text"], properties: { text: { type: "string" } } },
  });
  expect(spec?.parameters).not.toHaveProperty("$schema");
});

test("a tool's name is given once, and a refused bundle leaves nothing behind", () => {
  const registry = createRegistry([echo]);
  const clash: Skill = {
    name: "other",
    description: "",
    tools: [...skillOf("fresh", async () => "").tools, ...echo.tools],
  };
  expect(() => registry.register(clash)).toThrow(OuterloopError);
  expect(registry.get("fresh")).toBeUndefined();
});

test("an unregistered bundle's tools are gone and may be registered again", () => {
  const registry = createRegistry([echo]);
  expect(registry.unregister("echo-skill")).toBe(true);
  expect(registry.unregister("echo-skill")).toBe(false);
  expect(registry.specs()).toEqual([]);
  registry.register(echo);
  expect(registry.get("echo")).toBeDefined();
});

test("an unknown tool is answered with those that exist", async () => {
  expect(await createRegistry([echo]).run({ name: "ecko", args: {} }, context)).toEqual({
    ok: false,
    text: 'There is no tool "ecko". There are: echo.',
  });
});

test("arguments that do not fit are answered with the field and what the tool takes", async () => {
  const outcome = await createRegistry([echo]).run({ name: "echo", args: { count: "two" } }, context);
  expect(outcome.ok).toBe(false);
  expect(outcome.text).toMatch(/text: .*count: .*echo takes: text, count/s);
});

test("arguments that were no JSON are answered with what was sent", async () => {
  const outcome = await createRegistry([echo]).run({ name: "echo", args: { malformed: '{"text":' } }, context);
  expect(outcome).toMatchObject({ ok: false, text: expect.stringContaining('{"text":') });
});

test("a tool that throws is an error for the model to read; an outage is thrown, for the step to run again", async () => {
  const broken = skillOf("broken", async () => Promise.reject(new Error("no such row")));
  expect(await createRegistry([broken]).run({ name: "broken", args: { text: "" } }, context)).toEqual({
    ok: false,
    text: "broken failed: no such row",
  });
  const away = skillOf("away", async () =>
    Promise.reject(new OuterloopError("store_unavailable", "connection refused", { retry: "backoff" })),
  );
  await expect(createRegistry([away]).run({ name: "away", args: { text: "" } }, context)).rejects.toMatchObject({
    code: "store_unavailable",
  });
});

test("a tool past its time is stopped, its signal aborted, and the model told", async () => {
  let aborted = false;
  const hung = skillOf(
    "hung",
    (_text, signal) => new Promise(() => signal.addEventListener("abort", () => (aborted = true))),
    20,
  );
  const outcome = await createRegistry([hung]).run({ name: "hung", args: { text: "" } }, context);
  expect(outcome).toMatchObject({ ok: false, text: expect.stringContaining("longer than 0.02 s") });
  expect(aborted).toBe(true);
});

test("the caller's abort ends the call by throwing cancelled, so nothing is journaled for it", async () => {
  const caller = new AbortController();
  const hung = skillOf("hung", () => new Promise(() => undefined), 60_000);
  const call = createRegistry([hung]).run(
    { name: "hung", args: { text: "" } },
    createMemoryContext({ signal: caller.signal }),
  );
  caller.abort();
  await expect(call).rejects.toMatchObject({ code: "cancelled" });
});

test("a long result comes whole, but for what no database can store", async () => {
  const text = `${"x".repeat(100_000)}\0\ud800`;
  const outcome = await createRegistry([echo]).run({ name: "echo", args: { text } }, context);
  expect(outcome.text).toBe(`${"x".repeat(100_000)}\uFFFD\uFFFD`);
});

test("a result, a file and a note that are too large are errors that say the size and the limit, and nothing is written", async () => {
  const limits = { toolResultBytes: 1000, fileBytes: 100, noteChars: 10 };
  const run = (text: string, writes: readonly StoredWrite[] = [], effect: "pure" | "external" = "pure") => {
    const tool = defineTool({
      name: "big",
      version: "1",
      description: "for a test",
      effect,
      timeoutMs: 1000,
      input: z.object({ text: z.string() }),
      run: async () => ({ ok: true, text, writes }),
    });
    return createRegistry([{ name: "big-skill", description: "", tools: [tool] }], limits).run(
      { name: "big", args: { text: "" } },
      context,
    );
  };
  expect(await run("ü".repeat(501))).toEqual({
    ok: false,
    text: "big failed: its result has 1002 bytes, more than the 1000 that it may have. Ask for less, or in pieces.",
  });
  expect(await run("ok", [{ kind: "file", mode: "write", path: "a", text: "x".repeat(101) }])).toEqual({
    ok: false,
    text: expect.stringContaining("what it writes to a has 101 bytes, more than the 100") as string,
  });
  expect(await run("ok", [{ kind: "note", text: "x".repeat(11) }])).toMatchObject({
    ok: false,
    text: expect.stringContaining("the note has 11 characters, more than the 10") as string,
  });
  // It has happened: what failed is only to keep what it said.
  expect(await run("x".repeat(1001), [], "external")).toEqual({
    ok: true,
    text: "big was carried out, but its result has 1001 bytes, more than the 1000 that it may have, so it was not kept.",
  });
  expect(await run("x".repeat(1000))).toMatchObject({ ok: true });
});

test("what Postgres cannot store is taken out of results", async () => {
  expect((await createRegistry([echo]).run({ name: "echo", args: { text: "a\0b\uD83D" } }, context)).text).toBe(
    "a\uFFFDb\uFFFD",
  );
});
