/**
 * A local server that speaks OpenAI's Responses and Chat Completions and Anthropic's Messages, streaming, and answers
 * by a script that sees names of schemas and tools, never the wording of prompts. It also embeds and transcribes by rule.
 * For tests of adapters and end to end.
 *
 * Our own, since aimock's matchers cannot see a Responses or Messages request's schema (it drops `text.format` and
 * `output_config` before matching), nor say refusals, incomplete answers, cached tokens or malformed arguments there.
 * The case suite runs against aimock too, so that this server's idea of the protocols is not only ours.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text as readText } from "node:stream/consumers";
import type { JsonObject } from "../../domain/json.ts";
import { noUsage } from "../../domain/model.ts";
import { anthropicDialect } from "./dialect-anthropic.ts";
import { chatDialect } from "./dialect-chat.ts";
import { responsesDialect } from "./dialect-responses.ts";
import { sideAnswers, type EmbeddingsRequest, type SideOptions } from "./side-answers.ts";
import type { Dialect, Frame, Script, ScriptedAnswer, Seen, SpokenAnswer } from "./wire.ts";

export type { Script, Scripted, Seen } from "./wire.ts";

const dialects: readonly Dialect[] = [responsesDialect, chatDialect, anthropicDialect];

export interface ScriptedServer {
  /** For `OPENAI_BASE_URL`. */
  readonly openAiBaseUrl: string;
  /** For `ANTHROPIC_BASE_URL`. */
  readonly anthropicBaseUrl: string;
  /** Every model request so far. */
  readonly seen: readonly Seen[];
  /** Every request for embeddings so far. */
  readonly embedded: readonly EmbeddingsRequest[];
  /** Cuts open connections. */
  close(): Promise<void>;
}

export interface ScriptedServerOptions extends SideOptions {
  /** What `GET /v1/models` lists. */
  readonly models?: readonly string[];
}

export async function startScriptedServer(
  script: Script,
  options: ScriptedServerOptions = {},
): Promise<ScriptedServer> {
  const seen: Seen[] = [];
  const embedded: EmbeddingsRequest[] = [];
  const server = createServer((request, response) => {
    answer(request, response, script, options, seen, embedded).catch((error: unknown) => {
      // A script that throws shows as an answer that no retry hides.
      if (!response.headersSent)
        sendJson(response, 400, { error: { message: `script: ${String(error)}`, type: "script" } });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    openAiBaseUrl: `${url}/v1`,
    anthropicBaseUrl: url,
    seen,
    embedded,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  script: Script,
  options: ScriptedServerOptions,
  seen: Seen[],
  embedded: EmbeddingsRequest[],
): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  if (pathname.endsWith("/models")) {
    const data = (options.models ?? []).map((id) => ({ id, object: "model", created: 0, owned_by: "test" }));
    return sendJson(response, 200, { object: "list", data });
  }
  const side = sideAnswers.find(({ path }) => path.test(pathname));
  const dialect = dialects.find(({ path }) => path.test(pathname));
  if (!side && !dialect)
    return sendJson(response, 404, { error: { message: `no such path: ${pathname}`, type: "not_found" } });
  if (side && options.sideError) {
    const { status, message, headers } = options.sideError;
    return sendJson(response, status, { error: { message, type: "error" } }, headers);
  }
  if (side) {
    const reply = await side.answer(request, options, (asked) => embedded.push(asked));
    if (reply === "hang") return;
    if ("status" in reply) return sendJson(response, reply.status, { error: { message: "no", type: "scripted" } });
    return sendJson(response, 200, reply.body);
  }

  const body = JSON.parse(await readText(request)) as JsonObject;
  const hungUp = new Promise<void>((resolve) => response.once("close", () => response.writableFinished || resolve()));
  const current: Seen = {
    protocol: dialect!.protocol,
    model: body["model"] as string,
    number: seen.length + 1,
    body,
    headers: request.headers,
    url: request.url ?? "/",
    hungUp,
    ...dialect!.read(body),
  };
  seen.push(current);
  const scripted = await script(current);
  if (scripted === "hang") return;
  if ("error" in scripted)
    return sendJson(response, scripted.error.status, dialect!.sayError(scripted.error), scripted.error.headers);
  await stream(response, dialect!, scripted, current);
}

async function stream(response: ServerResponse, dialect: Dialect, scripted: ScriptedAnswer, seen: Seen): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const { head, tail } = dialect.say(fill(scripted, seen));
  for (const frame of head) response.write(render(frame));
  if (scripted.after === "hang") return;
  // Destroyed only after what was said has left, so that the client sees the break in the middle.
  if (scripted.after === "break") return void response.write(": breaking\n\n", () => response.destroy());
  if (scripted.after === "garbage") return void response.end('data: {"id": "r1", "choices": [{\n\n');
  await scripted.hold?.();
  for (const frame of tail) response.write(render(frame));
  response.end();
}

function fill(scripted: ScriptedAnswer, { number, model }: Seen): SpokenAnswer {
  const { json, refusal, reasoning, usage = noUsage } = scripted;
  const calls = (scripted.toolCalls ?? []).map(({ name, args, id }, index) => ({
    id: id ?? `call_${number}_${index}`,
    name,
    argsText: typeof args === "string" ? args : JSON.stringify(args),
  }));
  const implied = refusal ? "refusal" : calls.length > 0 ? "tool_calls" : "end";
  const text = scripted.text ?? (json === undefined ? "" : JSON.stringify(json));
  return { id: `r${number}`, model, text, refusal, reasoning, calls, usage, stop: scripted.stop ?? implied };
}

function render({ event, data }: Frame): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return `${event ? `event: ${event}\n` : ""}data: ${text}\n\n`;
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}
