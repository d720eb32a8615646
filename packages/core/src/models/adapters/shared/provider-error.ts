/**
 * What a provider's failure means to us. Both SDKs throw an error with `status`, `headers`, `code` and `type`, and
 * compatible servers fill these loosely, so the meaning is read from all of them in one place. The original error is
 * not kept as `cause`: it holds headers and bodies, and loggers print causes.
 */
import { OuterloopError, messageOf, type ErrorCode, type Retry } from "../../../domain/errors.ts";
import { redact } from "../../secrets.ts";

/** A failure in neutral terms. */
export interface Fault {
  readonly status?: number | undefined;
  /** The provider's machine-readable names for it, joined: `rate_limit_error`, `context_length_exceeded`, … */
  readonly kind: string;
  readonly message: string;
  readonly retryAfterMs?: number | undefined;
}

export interface FaultContext {
  /** `provider/model`. */
  readonly where: string;
  readonly secrets: readonly string[];
}

/** Long enough for what a provider says, too short for a prompt that it quotes. */
const longestMessage = 300;

const tooLong =
  /context.?(length|window|size)|maximum context|(prompt|input|request) (is )?too (long|large)|request_too_large|reduce the length|too many (input )?tokens/i;
const refused = /content_filter|content_policy|invalid_prompt|bio_policy|misalignment_policy/i;
/** Not in the message: ordinary rate limits mention billing pages too. */
const outOfQuota = /insufficient_quota|billing|payment_required/i;
const rateLimited = /rate_limit/i;
const overloaded = /overloaded|server_error|api_error|timeout_error|unavailable/i;

interface Meaning {
  readonly code: ErrorCode;
  readonly retry: Retry;
  readonly what: string;
}

function meaningOf({ status, kind, message, retryAfterMs }: Fault): Meaning {
  const later: Retry = retryAfterMs === undefined ? "backoff" : { afterMs: retryAfterMs };
  const text = `${kind} ${message}`;
  const isServerSide = status !== undefined && status >= 500;
  if (!isServerSide && status !== 429 && (status === 413 || tooLong.test(text)))
    return { code: "context_length", retry: "never", what: "the request is longer than the model's context" };
  if (refused.test(kind))
    return { code: "model_refused", retry: "never", what: "the provider refused the request by its policy" };
  if (status === 402 || outOfQuota.test(kind) || /credit balance/i.test(message))
    return { code: "config", retry: "never", what: "the account has no quota left; add credit or use another key" };
  if (status === 429 || rateLimited.test(kind)) return { code: "rate_limited", retry: later, what: "rate limited" };
  if (status === 401 || status === 403)
    return { code: "config", retry: "never", what: "the key was not accepted; check the provider's API key" };
  if (status === 404)
    return {
      code: "config",
      retry: "never",
      what: "no such model or path; check OUTERLOOP_MODEL and the base URL (it usually ends in /v1 for OpenAI-compatible servers)",
    };
  if (
    isServerSide ||
    status === undefined ||
    status === 408 ||
    status === 409 ||
    status === 425 ||
    overloaded.test(kind)
  )
    return {
      code: "model_unavailable",
      retry: later,
      what: status === undefined ? "no answer" : "the provider failed",
    };
  return {
    code: "invalid_input",
    retry: "never",
    what: "the provider rejected the request; check that the model supports tools and structured output",
  };
}

export function faultError(fault: Fault, context: FaultContext): OuterloopError {
  const { code, retry, what } = meaningOf(fault);
  const status = fault.status === undefined ? "" : ` (${fault.status})`;
  const said = redact(fault.message, context.secrets).slice(0, longestMessage);
  return new OuterloopError(code, `${context.where}: ${what}${status}: ${said}`, { retry });
}

/** Any error that an SDK, `fetch` or our own code threw during a call. */
export function toProviderError(thrown: unknown, context: FaultContext): OuterloopError {
  if (thrown instanceof OuterloopError) return thrown;
  return faultError(readFault(thrown), context);
}

function readFault(thrown: unknown): Fault {
  const error = (typeof thrown === "object" && thrown !== null ? thrown : {}) as {
    status?: unknown;
    code?: unknown;
    type?: unknown;
    headers?: unknown;
  };
  const headers = error.headers instanceof Headers ? error.headers : undefined;
  return {
    status: typeof error.status === "number" ? error.status : undefined,
    kind: [error.code, error.type].filter((part) => typeof part === "string").join(" "),
    message: withCauses(thrown),
    retryAfterMs: headers && readRetryAfter(headers),
  };
}

/** "Connection error." says nothing; its causes name the host and the refusal. Ends at the third: chains may be cyclic. */
function withCauses(thrown: unknown): string {
  const messages: string[] = [];
  let current = thrown;
  for (let depth = 0; depth < 3 && current !== undefined; depth++) {
    const message = messageOf(current);
    if (message && !messages.includes(message)) messages.push(message);
    current = current instanceof Error ? current.cause : undefined;
  }
  return messages.join(": ");
}

/** `retry-after-ms`, or `retry-after` in seconds or as a date, which is taken relative to the answer's own `date`: clocks differ. */
export function readRetryAfter(headers: Headers): number | undefined {
  const exact = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (exact >= 0) return exact;
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const seconds = Number(value);
  if (seconds >= 0) return Math.ceil(seconds * 1000);
  const waitMs = Date.parse(value) - Date.parse(headers.get("date") ?? "");
  return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs);
}
