import { expect, test } from "vitest";
import { intakeSchema } from "../../domain/intake.ts";
import { outputSpecs } from "../../domain/plan.ts";
import { section } from "../../domain/section.ts";
import type { ModelRequest } from "../../domain/model.ts";
import { createOfflineProvider } from "./index.ts";

const signal = new AbortController().signal;
const intake: ModelRequest = {
  stage: "intake",
  system: "You read a goal.",
  messages: [
    {
      role: "user",
      parts: [
        section("goal", { id: "g_1", at: "2026-11-21" }, "Does Zorkmid run on Windows?"),
        section("workspace", { files: 2, bytes: 9 }, "a.md\t9"),
      ],
    },
  ],
  tools: [],
  output: outputSpecs.intake,
  maxOutputTokens: 100,
};
const task = (text: string, tools: string[] = []): ModelRequest => ({
  stage: "execute",
  system: "",
  messages: [
    {
      role: "user",
      parts: [
        section("goal", { id: "g_1", at: "2026-11-21" }, text),
        section("task", { id: "t1", attempt: 1, depth: 0 }, text),
      ],
    },
  ],
  tools: tools.map((name) => ({ name, description: "", parameters: {} })),
  maxOutputTokens: 100,
});

test("it is called offline, counts tokens, and answers the same request with the same words", async () => {
  const provider = createOfflineProvider();
  expect(provider.name).toBe("offline");
  const [first, second] = [
    await provider.generate("rules", intake, { signal }),
    await provider.generate("rules", intake, { signal }),
  ];
  expect(first).toEqual(second);
  expect(first).toMatchObject({ model: "rules", stop: "end" });
  expect(first.usage.inputTokens).toBeGreaterThan(20);
});

test("intake restates the goal and names what looks like a name", async () => {
  const read = intakeSchema.parse(
    JSON.parse((await createOfflineProvider().generate("rules", intake, { signal })).message.text),
  );
  expect(read.intent).toBe("Does Zorkmid run on Windows?");
  expect(read.entities.map((entity) => entity.value)).toEqual(["zorkmid", "windows"]);
});

test("it searches first, with calls that each have an id of their own", async () => {
  const { message, stop } = await createOfflineProvider().generate(
    "rules",
    task("How large is the cache and where is the log kept today?", ["search_files"]),
    { signal },
  );
  expect(stop).toBe("tool_calls");
  expect(message.toolCalls.map((call) => call.name)).toEqual(["search_files", "search_files"]);
  expect(new Set(message.toolCalls.map((call) => call.id)).size).toBe(2);
});

test("without a tool to search it says that nothing was looked up", async () => {
  expect(
    (await createOfflineProvider().generate("rules", task("How large is the cache?"), { signal })).message.text,
  ).toContain("nothing was looked up");
});

test("a stopped call throws cancelled", async () => {
  await expect(
    createOfflineProvider().generate("rules", intake, { signal: AbortSignal.abort() }),
  ).rejects.toMatchObject({ code: "cancelled" });
});

test("a watcher is given the text", async () => {
  const heard: string[] = [];
  const { message } = await createOfflineProvider().generate("rules", intake, {
    signal,
    onText: (text) => heard.push(text),
  });
  expect(heard.join("")).toBe(message.text);
});
