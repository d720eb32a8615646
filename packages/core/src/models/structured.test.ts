import { expect, test } from "vitest";
import { z } from "zod";
import type { AssistantMessage, ModelRequest } from "../domain/model.ts";
import { outputSpecs } from "../domain/plan.ts";
import { readStructured, repairRequest, unusableAnswer } from "./structured.ts";

const schema = z.object({ status: z.enum(["done", "retry"]) });

test.each([
  ["plain", '{"status":"done"}'],
  ["in a fence", '```json\n{"status":"done"}\n```'],
  ["in a fence after prose", 'Here it is:\n```\n{"status":"done"}\n```\nGood luck!'],
  ["in prose", 'The verdict is {"status":"done"}.'],
  ["after thoughts with braces", '<think>maybe {retry}?</think>\n{"status":"done"}'],
])("JSON %s is read", (_title, text) => {
  expect(readStructured(text, schema)).toEqual({ ok: true, value: { status: "done" } });
});

test.each([
  ["", "empty"],
  ["I'd rather not.", "not JSON"],
  ['{"status":', "not JSON"],
  ['{"status":"maybe"}', "status"],
  ["[]", "object"],
])("%j is not, and why is said", (text, why) => {
  const read = readStructured(text, schema);
  expect(read).toMatchObject({ ok: false, why: expect.stringContaining(why) as string });
});

const request: ModelRequest = {
  stage: "plan",
  system: "s",
  messages: [{ role: "user", parts: ["goal"] }],
  tools: [],
  output: outputSpecs.plan,
  maxOutputTokens: 100,
};
const wrong: AssistantMessage = { role: "assistant", text: "{}", toolCalls: [], opaque: { provider: "p", items: [] } };

test("a repair adds the answer and the reason, and changes nothing else", () => {
  const repair = repairRequest(request, { message: wrong }, "tasks: missing");
  expect(repair).toMatchObject({ ...request, messages: [request.messages[0], wrong, { role: "user" }] });
  expect(JSON.stringify(repair.messages[2])).toContain("tasks: missing");
});

test("a repair carries no calls, which would want results, and no empty turn", () => {
  const calling = { ...wrong, toolCalls: [{ id: "c", name: "read_file", args: {} }] };
  expect(repairRequest(request, { message: calling }, "why").messages[1]).toEqual({
    role: "assistant",
    text: "{}",
    toolCalls: [],
  });
  expect(repairRequest(request, { message: { ...wrong, text: "" } }, "why").messages).toHaveLength(2);
});

test("an answer that fits after neither round is model_output", () => {
  expect(unusableAnswer(request, "tasks: missing")).toMatchObject({ code: "model_output", retry: "never" });
});
