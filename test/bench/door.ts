/**
 * The HTTP API as cheaply as it can be asked: the bench shares the machine with what it measures. Requests and answers are the
 * real ones; only what the typed client adds (schemas, retries) is left out.
 */
import { Agent, request, type IncomingMessage } from "node:http";

export interface DoorAddress {
  readonly url: string;
  readonly apiKey: string;
}

export interface Door {
  /** Posts a goal; its id. Throws where it was not accepted. */
  post(text: string): Promise<string>;
  /** When the event that ended the goal arrived on its event stream, by `performance.now()`; throws where that is no success. */
  untilSucceeded(goalId: string): Promise<number>;
  getJson(path: string): Promise<unknown>;
  close(): void;
}

export function openDoor({ url, apiKey }: DoorAddress): Door {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  const send = (method: string, path: string, body: string | null) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(
        new URL(path, url),
        {
          agent,
          method,
          headers: {
            authorization: `Bearer ${apiKey}`,
            ...(body === null ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
          },
        },
        resolve,
      );
      sent.on("error", reject);
      sent.end(body);
    });
  const read = async (response: IncomingMessage) => {
    let text = "";
    response.setEncoding("utf8");
    for await (const chunk of response) text += String(chunk);
    return text;
  };
  return {
    async post(text) {
      const response = await send("POST", "/v1/goals", JSON.stringify({ text }));
      const answer = await read(response);
      if (response.statusCode !== 202) throw new Error(`POST /v1/goals answered ${response.statusCode}: ${answer}`);
      return (JSON.parse(answer) as { readonly id: string }).id;
    },
    async untilSucceeded(goalId) {
      const response = await send("GET", `/v1/goals/${goalId}/events`, null);
      response.setEncoding("utf8");
      let line = "";
      let at: number | null = null;
      // To its end, so that the connection serves the next.
      for await (const chunk of response) {
        const lines = (line + String(chunk)).split("\n");
        line = lines.pop() ?? "";
        for (const each of lines) {
          if (each === "event: goal.succeeded") at = performance.now();
          if (/^event: goal\.(failed|abandoned|cancelled)$/.test(each)) throw new Error(`${goalId}: ${each}`);
        }
      }
      if (at === null) throw new Error(`${goalId}: its events ended (HTTP ${response.statusCode}) before it succeeded`);
      return at;
    },
    async getJson(path) {
      const response = await send("GET", path, null);
      const answer = await read(response);
      if (response.statusCode !== 200) throw new Error(`GET ${path} answered ${response.statusCode}: ${answer}`);
      return JSON.parse(answer);
    },
    close: () => agent.destroy(),
  };
}
