/** A request's conversation as its three protocols spell it, read back: who said what, what was called, what came back. */
import type { Seen } from "../../../packages/core/src/models/testing/scripted-server.ts";

export interface Call {
  readonly name: string;
  readonly args: string;
}

export type Turn =
  | { readonly who: "user"; readonly text: string }
  | { readonly who: "model"; readonly text: string; readonly calls: readonly Call[] }
  | { readonly who: "tool"; readonly text: string };

interface Block {
  readonly type?: string;
  readonly text?: string;
  readonly name?: string;
  readonly input?: unknown;
  readonly content?: unknown;
}

/** Text that is a string in one protocol and a list of blocks in another. */
function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return (content as readonly Block[]).map((block) => block.text ?? "").join("\n\n");
}

interface ResponsesItem {
  readonly type?: string;
  readonly role?: string;
  readonly content?: unknown;
  readonly name?: string;
  readonly arguments?: string;
  readonly output?: unknown;
}

function readResponses(items: readonly ResponsesItem[]): Turn[] {
  return items.flatMap((item): Turn[] => {
    if (item.type === "function_call")
      return [{ who: "model", text: "", calls: [{ name: item.name ?? "", args: item.arguments ?? "" }] }];
    if (item.type === "function_call_output") return [{ who: "tool", text: textOf(item.output) }];
    if (item.role === "assistant") return [{ who: "model", text: textOf(item.content), calls: [] }];
    return item.role === "user" ? [{ who: "user", text: textOf(item.content) }] : [];
  });
}

interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly tool_calls?: readonly { readonly function: { readonly name: string; readonly arguments: string } }[];
}

function readChat(messages: readonly ChatMessage[]): Turn[] {
  return messages.flatMap(({ role, content, tool_calls = [] }): Turn[] => {
    const text = textOf(content);
    if (role === "assistant")
      return [
        {
          who: "model",
          text,
          calls: tool_calls.map((call) => ({ name: call.function.name, args: call.function.arguments })),
        },
      ];
    if (role === "tool") return [{ who: "tool", text }];
    return role === "user" ? [{ who: "user", text }] : [];
  });
}

interface AnthropicMessage {
  readonly role: string;
  readonly content: readonly Block[] | string;
}

function readAnthropic(messages: readonly AnthropicMessage[]): Turn[] {
  return messages.flatMap(({ role, content }): Turn[] => {
    const blocks: readonly Block[] = typeof content === "string" ? [{ type: "text", text: content }] : content;
    const text = textOf(blocks.filter((block) => block.type === "text"));
    if (role === "assistant") {
      const calls = blocks
        .filter((block) => block.type === "tool_use")
        .map((block) => ({ name: block.name ?? "", args: JSON.stringify(block.input) }));
      return [{ who: "model", text, calls }];
    }
    const results = blocks
      .filter((block) => block.type === "tool_result")
      .map((block): Turn => ({ who: "tool", text: textOf(block.content) }));
    return text === "" ? results : [...results, { who: "user", text }];
  });
}

export function readConversation({ protocol, body }: Pick<Seen, "protocol" | "body">): Turn[] {
  switch (protocol) {
    case "responses":
      return readResponses(body["input"] as unknown as readonly ResponsesItem[]);
    case "chat":
      return readChat(body["messages"] as unknown as readonly ChatMessage[]);
    case "anthropic":
      return readAnthropic(body["messages"] as unknown as readonly AnthropicMessage[]);
  }
}
