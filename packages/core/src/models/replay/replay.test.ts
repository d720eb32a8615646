import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { canonicalJson } from "../../domain/json.ts";
import type { Message, ModelRequest } from "../../domain/model.ts";
import { noUsage } from "../../domain/model.ts";
import { recordingSchema, type RecordedCall, type Recording } from "../../domain/recording.ts";
import { section } from "../../domain/section.ts";
import { sha256 } from "../../store/ids.ts";
import { createReplayProvider, readRecording } from "./index.ts";

const options = { signal: new AbortController().signal };

interface Asked {
  readonly goal?: string;
  readonly id?: string;
  readonly task?: string;
  readonly extra?: readonly string[];
  readonly after?: readonly Message[];
}

function execute({ goal = "Do it", id = "g_1", task = "first", extra = [], after = [] }: Asked = {}): ModelRequest {
  const parts = [
    section("goal", { id, at: "2026-11-21" }, goal),
    ...extra,
    section("task", { id: "t1", attempt: 1, depth: 0 }, task),
  ];
  return {
    stage: "execute",
    system: "s",
    messages: [{ role: "user", parts }, ...after],
    tools: [],
    maxOutputTokens: 8000,
  };
}

function call(request: ModelRequest, text: string): RecordedCall {
  return {
    stage: request.stage,
    task: "t1",
    attempt: 1,
    seq: 1,
    request_hash: sha256(canonicalJson(request)),
    request,
    response: {
      message: { role: "assistant", text, toolCalls: [] },
      stop: "end",
      usage: noUsage,
      provider: "openai",
      model: "m",
    },
  };
}

function replay(...calls: readonly RecordedCall[]) {
  const goal: Recording["goal"] = {
    id: "g_1",
    text: "Do it",
    status: "succeeded",
    planning: "adaptive",
    attachments: [],
  };
  const provider = createReplayProvider({ version: 1, goal, calls });
  return async (request: ModelRequest) => (await provider.generate("any", request, options)).message.text;
}

test("1: the same request is answered in recorded order, and then by the last again", async () => {
  const answer = replay(call(execute(), "one"), call(execute({ task: "other" }), "x"), call(execute(), "two"));
  expect([await answer(execute()), await answer(execute()), await answer(execute())]).toEqual(["one", "two", "two"]);
});

test("2: another run of the goal differs in ids, dates, what was recalled and how many tokens are left", async () => {
  const memory = section("memory", { kind: "lesson", at: "2026-11-20" }, "Look first.");
  const answer = replay(call(execute({ extra: [memory] }), "one"));
  expect(await answer({ ...execute({ id: "g_2" }), maxOutputTokens: 1024 })).toBe("one");
});

test("3: of what was not used yet, the request of the same task that differs least is taken", async () => {
  const dependency = (text: string) => [section("dependency", { id: "t0", status: "done" }, text)];
  const answer = replay(
    call(execute({ extra: [...dependency("a"), ...dependency("b")] }), "both"),
    call(execute({ extra: dependency("a") }), "one"),
  );
  expect(await answer(execute({ extra: dependency("changed") }))).toBe("one");
  expect(await answer(execute({ extra: dependency("changed") }))).toBe("both");
  await expect(answer(execute({ extra: dependency("changed") }))).rejects.toMatchObject({ code: "config" });
});

test("3: how far a conversation has come is never mistaken", async () => {
  const later: Message[] = [
    { role: "assistant", text: "", toolCalls: [{ id: "c", name: "look", args: {} }] },
    { role: "tool", results: [{ callId: "c", name: "look", ok: true, text: "12:00" }] },
  ];
  const answer = replay(call(execute(), "first"), call(execute({ after: later }), "second"));
  const now = structuredClone(later) as { results?: { text: string }[] }[];
  now[1]!.results![0]!.text = "13:00";
  expect(await answer(execute({ after: now as unknown as Message[] }))).toBe("second");
});

test("4: what was never asked is told with its stage and the first difference, and bounded", async () => {
  const answer = replay(call(execute(), "one"));
  const long = `Do something else ${"x".repeat(10_000)}`;
  const failed = answer(execute({ goal: long }));
  await expect(failed).rejects.toMatchObject({
    code: "config",
    retry: "never",
    message: expect.stringMatching(
      /goal g_1 has no answer .* stage execute[\s\S]*recorded: .*Do it[\s\S]*asked: .*Do something else/,
    ) as string,
  });
  await failed.catch((thrown: Error) => expect(thrown.message.length).toBeLessThan(1000));
  await expect(answer({ ...execute(), stage: "plan" })).rejects.toThrow("It has no call of that stage.");
});

test("a call that was stopped is not answered", async () => {
  const provider = createReplayProvider({ version: 1, goal: {} as never, calls: [] });
  await expect(provider.generate("m", execute(), { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "cancelled",
  });
});

test("a file keeps every part of a request, also one that this version does not know", () => {
  const request = { ...execute(), novel: { deep: [1] } } as ModelRequest;
  const recording = {
    version: 1,
    goal: { id: "g_1", text: "Do it", status: "failed", planning: { every_n: 2 }, attachments: [] },
    calls: [call(request, "one")],
  };
  const path = join(mkdtempSync(join(tmpdir(), "outerloop-replay-")), "goal.json");
  writeFileSync(path, JSON.stringify(recording));
  expect(readRecording(path)).toEqual(recording);
  expect(recordingSchema.parse(recording)).toEqual(recording);
  expect(() => readRecording(`${path}.gone`)).toThrow(/recording .*goal\.json\.gone cannot be read: ENOENT/);
});
