/**
 * A conversation as one prompt. The SDK's sessions take messages of users only, and their history cannot be given, so what
 * was said before is told: a line of JSON for each message, which no text of a tool or a page can break out of.
 */
import type { Message, ModelRequest, ToolSpec } from "../../../domain/model.ts";

/** The runtime treats tools by the names of its own, as `read_file`, in its own ways; ours are set apart. */
const prefix = "agent_";

export function toToolName(name: string): string {
  return `${prefix}${name}`;
}

/** Undone; a name that the model made up comes back as it is. */
export function fromToolName(name: string): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

export function toSystem({ system, tools }: ModelRequest): string {
  if (tools.length === 0) return system;
  const names = tools.map(({ name }: ToolSpec) => `${name} is called ${toToolName(name)}`).join(", ");
  return `${system}\n\nYour tools have a prefix: ${names}.`;
}

/** The same conversation always gives the same prompt. */
export function toPrompt(messages: readonly Message[]): string {
  const [first] = messages;
  if (messages.length === 1 && first?.role === "user") return first.parts.join("\n\n");
  const lines = messages.map((message) => JSON.stringify(toLine(message)));
  return `The conversation so far, oldest first, each message a line of JSON:\n${lines.join("\n")}\n\nGive the assistant's next turn, in its own words and calls of tools, not as JSON of this form.`;
}

function toLine(message: Message): object {
  switch (message.role) {
    case "user":
      return { role: "user", text: message.parts.join("\n\n") };
    case "assistant":
      return {
        role: "assistant",
        text: message.text,
        ...(message.toolCalls.length > 0 && {
          calls: message.toolCalls.map(({ id, name, args }) => ({ id, name: toToolName(name), args })),
        }),
      };
    case "tool":
      return {
        role: "tool",
        results: message.results.map(({ callId, ok, text }) => ({ call: callId, ok, text })),
      };
  }
}
