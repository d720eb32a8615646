/** One request and its answer: address, key, deadline, and every failure as one of our errors. */
import type { z } from "zod";
import { ApiError, ConnectionError, describeFailure, readApiError } from "./errors.ts";
import { realWaiting, retryDelayMs, type Waiting } from "./waiting.ts";

export interface Http {
  /** Ends in no slash. */
  readonly baseUrl: string;
  /** Sends and reads JSON; throws `ApiError` or `ConnectionError`. */
  json<Schema extends z.ZodType>(schema: Schema, call: Call): Promise<z.output<Schema>>;
  bytes(call: Call): Promise<Uint8Array>;
  /** The answer as it begins; its body is the caller's to read. No deadline but the caller's signal. */
  open(call: Call): Promise<Response>;
  readonly waiting: Waiting;
}

export interface Call {
  readonly method?: "GET" | "POST" | "PUT";
  /** Begins with a slash. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
  /** Times that it may be sent. More than 1 only where repeating it is safe. */
  readonly tries?: number;
}

export interface HttpSettings {
  readonly baseUrl: string;
  readonly apiKey?: string | undefined;
  readonly fetch?: typeof globalThis.fetch;
  readonly timeoutMs?: number;
  readonly waiting?: Waiting;
}

/** A server answers in milliseconds; half a minute is a dead one. */
const defaultTimeoutMs = 30_000;

export function createHttp(settings: HttpSettings): Http {
  const baseUrl = settings.baseUrl.replace(/\/+$/, "");
  const send = settings.fetch ?? globalThis.fetch;
  const waiting = settings.waiting ?? realWaiting;

  const addressOf = ({ path, query = {} }: Call) => {
    const search = new URLSearchParams(
      Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
    );
    return `${baseUrl}${path}${search.size > 0 ? `?${search.toString()}` : ""}`;
  };

  async function open(call: Call): Promise<Response> {
    const response = await send(addressOf(call), {
      method: call.method ?? "GET",
      headers: {
        accept: "application/json",
        ...(settings.apiKey === undefined ? {} : { authorization: `Bearer ${settings.apiKey}` }),
        ...(call.body === undefined ? {} : { "content-type": "application/json" }),
        ...call.headers,
      },
      body: call.body === undefined ? null : JSON.stringify(call.body),
      // Followed, a redirect would carry the key and the goal to another place; so it is an answer like any that is no success.
      redirect: "manual",
      signal: call.signal ?? null,
    }).catch((thrown: unknown) => {
      call.signal?.throwIfAborted();
      throw new ConnectionError(baseUrl, describeFailure(thrown), { cause: thrown });
    });
    if (!response.ok) throw await readApiError(response);
    return response;
  }

  /** Reads the whole answer within the deadline. */
  async function once<Read>(call: Call, read: (response: Response) => Promise<Read>): Promise<Read> {
    const timeoutMs = call.timeoutMs ?? settings.timeoutMs ?? defaultTimeoutMs;
    const deadline = AbortSignal.timeout(timeoutMs);
    const signal = call.signal === undefined ? deadline : AbortSignal.any([call.signal, deadline]);
    try {
      return await read(await open({ ...call, signal }));
    } catch (thrown) {
      call.signal?.throwIfAborted();
      if (deadline.aborted)
        throw new ConnectionError(
          baseUrl,
          `did not answer ${call.method ?? "GET"} ${call.path} within ${timeoutMs / 1000} s`,
          { cause: thrown },
        );
      if (thrown instanceof ApiError || thrown instanceof ConnectionError) throw thrown;
      throw new ConnectionError(baseUrl, describeFailure(thrown), { cause: thrown });
    }
  }

  async function sendAndRead<Read>(call: Call, read: (response: Response) => Promise<Read>): Promise<Read> {
    // Ends: with an answer, with an error that repeating cannot help, or after the last try.
    for (let tries = 1; ; tries += 1) {
      try {
        return await once(call, read);
      } catch (thrown) {
        const retry = thrown instanceof ApiError || thrown instanceof ConnectionError ? thrown.retry : "never";
        if (retry === "never" || tries >= (call.tries ?? 1)) throw thrown;
        await waiting.wait(retryDelayMs(retry, tries, waiting.random), call.signal);
      }
    }
  }

  return {
    baseUrl,
    waiting,
    open,
    json: (schema, call) =>
      sendAndRead(call, async (response) => {
        const read = schema.safeParse(await response.json().catch(() => undefined));
        if (read.success) return read.data;
        const issue = read.error.issues[0];
        throw new ConnectionError(
          baseUrl,
          `answered ${call.method ?? "GET"} ${call.path} with something else than this client expects (${issue?.path.join(".") || "body"}: ${issue?.message}): are both of the same version?`,
          { retry: "never" },
        );
      }),
    bytes: (call) => sendAndRead(call, async (response) => new Uint8Array(await response.arrayBuffer())),
  };
}
