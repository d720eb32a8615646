/** One step in full, and the exact request that a model was sent, as text that a person can read. */
import type { ShownStepResource } from "@outerloop/core/domain";
import { z } from "zod";
import { formatCount, formatDuration, formatUsd } from "../text/quantities.ts";
import { printableBlock, printableJson, printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { modelOutputSchema, toolText } from "./step-lines.ts";

const toolCallSchema = z.object({ name: z.string(), args: z.unknown() });
const requestSchema = z.object({
  system: z.string(),
  messages: z.array(
    z.union([
      z.object({ role: z.literal("user"), parts: z.array(z.string()) }),
      z.object({ role: z.literal("assistant"), text: z.string(), toolCalls: z.array(toolCallSchema) }),
      z.object({
        role: z.literal("tool"),
        results: z.array(z.object({ name: z.string(), ok: z.boolean(), text: z.string() })),
      }),
    ]),
  ),
  tools: z.array(z.object({ name: z.string(), description: z.string(), parameters: z.unknown() })),
  output: z.object({ name: z.string(), schema: z.unknown() }).optional(),
  maxOutputTokens: z.number(),
});
type Message = z.output<typeof requestSchema>["messages"][number];

export function shownStepLines(step: ShownStepResource, style: Style): string[] {
  const { usage } = step;
  const facts = [
    `${step.stage}, attempt ${step.attempt}, step ${step.number} of its goal`,
    `${step.at.replace("T", " ")} · ${formatDuration(step.duration_ms)} · ${step.ok ? "ok" : "error"}${step.phase === "intent" ? " · begun, without a result" : ""}`,
    ...(step.kind === "model"
      ? [
          `${formatCount(usage.input_tokens)} tokens read (${formatCount(usage.cached_input_tokens)} from a cache), ${formatCount(usage.output_tokens)} written · ${formatUsd(usage.usd)}`,
        ]
      : []),
  ];
  return [
    `${style.strong(`Step ${printableLine(step.id)}`)}  ${step.kind} ${printableLine(step.name)}`,
    ...facts.map((fact) => `  ${printableLine(fact)}`),
    ...bodyLines(step, style),
  ];
}

function bodyLines(step: ShownStepResource, style: Style): string[] {
  if (step.kind === "tool")
    return [
      style.strong("Arguments"),
      ...block(printableJson(step.input ?? {}, 2)),
      style.strong("Result"),
      ...block(toolText(step.output)),
    ];
  const read = modelOutputSchema.safeParse(step.output);
  return [
    style.strong("Answer"),
    ...(read.success
      ? [
          ...(read.data.message.text.trim() === "" ? [] : block(read.data.message.text)),
          ...read.data.message.toolCalls.map(callLine),
        ]
      : block(printableJson(step.output ?? null, 2))),
  ];
}

export interface RequestCheck {
  /** Of the request as it was rebuilt. */
  readonly hash: string;
  readonly recordedHash: string;
}

export function requestLines(body: unknown, check: RequestCheck, style: Style): string[] {
  const verdict =
    check.hash === check.recordedHash
      ? style.good("equals the recorded one")
      : style.bad(`DIFFERS from the recorded one, ${printableLine(check.recordedHash)}`);
  const head = `${style.strong("Request")}  sha256 ${printableLine(check.hash)}: ${verdict}`;
  const read = requestSchema.safeParse(body);
  if (!read.success) return [head, ...block(printableJson(body ?? null, 2))];
  const request = read.data;
  return [
    head,
    style.strong("System"),
    ...block(request.system),
    ...request.messages.flatMap((message, index) => [
      style.strong(`Message ${index + 1}`) + ` ${message.role}`,
      ...messageLines(message),
    ]),
    ...request.tools.flatMap((tool) => [
      `${style.strong("Tool")} ${printableLine(tool.name)}`,
      ...block(tool.description),
      `  ${printableJson(tool.parameters ?? {})}`,
    ]),
    ...(request.output === undefined
      ? []
      : [
          `${style.strong("Answer as")} ${printableLine(request.output.name)}`,
          `  ${printableJson(request.output.schema ?? {})}`,
        ]),
    `${style.strong("At most")} ${formatCount(request.maxOutputTokens)} tokens`,
  ];
}

function messageLines(message: Message): string[] {
  switch (message.role) {
    case "user":
      return message.parts.flatMap(block);
    case "assistant":
      return [...(message.text === "" ? [] : block(message.text)), ...message.toolCalls.map(callLine)];
    case "tool":
      return message.results.flatMap((result) => [
        `  ${printableLine(result.name)} ${result.ok ? "ok" : "error"}`,
        ...block(result.text),
      ]);
  }
}

const callLine = (call: { readonly name: string; readonly args?: unknown }) =>
  `  → ${printableLine(call.name)} ${printableJson(call.args ?? {})}`;

/** As it was sent, line by line: neither wrapped nor shortened. */
function block(text: string): string[] {
  return printableBlock(text)
    .replace(/\n$/, "")
    .split("\n")
    .map((line) => (line === "" ? "" : `  ${line}`));
}
