/**
 * The offline model: serves where no key is set. It reads, ranks and quotes by rules; it does not reason, and says so. The
 * same request always gives the same answer, and it is given nothing but the request.
 */
import { OuterloopError } from "../../domain/errors.ts";
import type { AssistantMessage, ModelRequest, ToolCall } from "../../domain/model.ts";
import type { Provider, ProviderResponse } from "../provider.ts";
import { reportPathOf, reportTurn } from "./execute-report.ts";
import { researchTurn } from "./execute-research.ts";
import { intake } from "./intake.ts";
import { judge } from "./judge.ts";
import { plan } from "./plan.ts";
import { readPrompt } from "./prompt.ts";
import type { Turn } from "./turn.ts";

/** Characters of English text in one token, on average. */
const charsPerToken = 4;

export function createOfflineProvider(): Provider {
  return {
    name: "offline",
    capabilities: () => ({ tools: true, structured: "native", embeddings: false, transcription: false }),
    async generate(model, request, { signal, onText, onToken }) {
      if (signal.aborted)
        throw new OuterloopError("cancelled", "the call of the offline model was stopped", { cause: signal.reason });
      const response = respond(model, request);
      onToken?.();
      if (response.message.text) onText?.(response.message.text);
      return response;
    },
  };
}

function respond(model: string, request: ModelRequest): ProviderResponse {
  const message = messageOf(answer(request), request);
  return {
    message,
    stop: message.toolCalls.length > 0 ? "tool_calls" : "end",
    model,
    usage: {
      inputTokens: Math.ceil(inputChars(request) / charsPerToken),
      cachedInputTokens: 0,
      outputTokens: Math.ceil((message.text.length + JSON.stringify(message.toolCalls).length) / charsPerToken),
      reasoningTokens: 0,
    },
  };
}

function answer(request: ModelRequest): Turn {
  switch (request.stage) {
    case "intake":
      return { text: JSON.stringify(intake(request)) };
    case "plan":
      return { text: JSON.stringify(plan(request)) };
    case "reflect":
      return { text: JSON.stringify(judge(request)) };
    case "execute": {
      const reportPath = reportPathOf(readPrompt(request).body("task"));
      return reportPath === undefined ? researchTurn(request) : reportTurn(request, reportPath);
    }
  }
}

/** Ids of calls are counted over the whole attempt, so that none comes twice. */
function messageOf(turn: Turn, request: ModelRequest): AssistantMessage {
  if ("text" in turn) return { role: "assistant", text: turn.text, toolCalls: [] };
  const before = request.messages.reduce(
    (sum, message) => sum + (message.role === "assistant" ? message.toolCalls.length : 0),
    0,
  );
  const toolCalls = turn.calls.map(({ name, args }, at): ToolCall => ({ id: `call_${before + at + 1}`, name, args }));
  return { role: "assistant", text: "", toolCalls };
}

function inputChars(request: ModelRequest): number {
  let chars = request.system.length + JSON.stringify(request.tools).length;
  for (const message of request.messages) {
    if (message.role === "user") for (const part of message.parts) chars += part.length;
    if (message.role === "assistant") chars += message.text.length + JSON.stringify(message.toolCalls).length;
    if (message.role === "tool") for (const result of message.results) chars += result.text.length;
  }
  return chars;
}
