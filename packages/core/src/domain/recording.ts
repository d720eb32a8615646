/** A goal's model traffic as a fixture: all that its models were asked and answered, enough to run it again without them. */
import { z } from "zod";
import type { NewGoalRequest } from "./api.ts";
import { stages, type AssistantMessage, type ModelRequest } from "./model.ts";

export const recordingVersion = 1;

const toolCallSchema = z.looseObject({ id: z.string(), name: z.string(), args: z.record(z.string(), z.json()) });
// Loose throughout: a request's hash is of all that it says, also of what a later version adds.
const assistantSchema = z.looseObject({
  role: z.literal("assistant"),
  text: z.string(),
  toolCalls: z.array(toolCallSchema),
  opaque: z.looseObject({ provider: z.string(), items: z.array(z.json()) }).optional(),
});
const messageSchema = z.discriminatedUnion("role", [
  z.looseObject({ role: z.literal("user"), parts: z.array(z.string()) }),
  assistantSchema,
  z.looseObject({
    role: z.literal("tool"),
    results: z.array(z.looseObject({ callId: z.string(), name: z.string(), ok: z.boolean(), text: z.string() })),
  }),
]);
const requestSchema = z.looseObject({
  stage: z.enum(stages),
  system: z.string(),
  messages: z.array(messageSchema).min(1),
  tools: z.array(
    z.looseObject({ name: z.string(), description: z.string(), parameters: z.record(z.string(), z.json()) }),
  ),
  maxOutputTokens: z.int(),
});
const tokens = z.int().min(0);

/** `GET /v1/goals/:id/recording`. */
export const recordingSchema = z.object({
  version: z.literal(recordingVersion),
  goal: z.object({
    id: z.string(),
    text: z.string().min(1),
    status: z.string(),
    planning: z.union([z.enum(["adaptive", "every-step"]), z.object({ every_n: z.int() })]),
    attachments: z.array(z.object({ path: z.string(), base64: z.base64() })),
  }),
  /** In the order in which they were journaled. */
  calls: z.array(
    z.object({
      stage: z.enum(stages),
      /** The task's key; null for the planner. */
      task: z.string().nullable(),
      attempt: z.int(),
      seq: z.int(),
      /** SHA-256 of the request's canonical JSON. */
      request_hash: z.string(),
      request: requestSchema,
      response: z.object({
        /** With the items that only its provider understands: they are part of the requests after it. */
        message: assistantSchema,
        stop: z.enum(["end", "tool_calls", "length", "content_filter", "refusal"]),
        usage: z.object({
          inputTokens: tokens,
          cachedInputTokens: tokens,
          outputTokens: tokens,
          reasoningTokens: tokens,
        }),
        provider: z.string(),
        model: z.string(),
      }),
    }),
  ),
});
export type RecordingResource = z.output<typeof recordingSchema>;

type Call = RecordingResource["calls"][number];

/** As the domain's own types, which the loose schema checked. */
export type RecordedCall = Omit<Call, "request" | "response"> & {
  readonly request: ModelRequest;
  readonly response: Omit<Call["response"], "message"> & { readonly message: AssistantMessage };
};
export interface Recording extends Omit<RecordingResource, "calls"> {
  readonly calls: readonly RecordedCall[];
}

/** What was posted, to be posted again. */
export function goalOfRecording({ goal }: Pick<Recording, "goal">): NewGoalRequest {
  return { text: goal.text, planning: goal.planning, attachments: goal.attachments };
}
