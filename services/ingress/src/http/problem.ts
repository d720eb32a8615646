/**
 * Every error that leaves ingress is an RFC 9457 problem document, made here from one exhaustive table. What we did not
 * expect is told by its request id only; the rest of it is in the log.
 */
import { OuterloopError, type ErrorCode, type FieldError, type Problem, type Redactor } from "@outerloop/core";

/** Codes that only HTTP knows. */
type HttpCode = "bad_signature" | "method_not_allowed" | "unsupported_media_type" | "overloaded";
export type ProblemCode = ErrorCode | HttpCode;

const table: Readonly<Record<ProblemCode, { readonly status: number; readonly title: string }>> = {
  invalid_input: { status: 400, title: "The request is not right" },
  unauthorized: { status: 401, title: "A key is needed" },
  bad_signature: { status: 401, title: "Not signed by anybody who may send this" },
  forbidden: { status: 403, title: "This key may not do that" },
  not_found: { status: 404, title: "Not found" },
  method_not_allowed: { status: 405, title: "Method not allowed" },
  conflict: { status: 409, title: "In conflict with what is there" },
  cancelled: { status: 409, title: "Cancelled" },
  too_large: { status: 413, title: "Too large" },
  unsupported_media_type: { status: 415, title: "Unsupported media type" },
  unsupported: { status: 422, title: "Not supported" },
  context_length: { status: 422, title: "Too long for the model" },
  rate_limited: { status: 429, title: "Too many requests" },
  config: { status: 500, title: "Configuration error" },
  internal: { status: 500, title: "Internal error" },
  model_refused: { status: 502, title: "The model refused" },
  model_output: { status: 502, title: "The model's answer was unusable" },
  tool_failed: { status: 502, title: "A tool failed" },
  store_unavailable: { status: 503, title: "Postgres is away" },
  queue_unavailable: { status: 503, title: "The queue is away" },
  held_back: { status: 503, title: "The model is held back" },
  model_unavailable: { status: 503, title: "The model is away" },
  overloaded: { status: 503, title: "Too busy" },
  timeout: { status: 504, title: "Timed out" },
};

/** A request that is refused for a reason that HTTP has a word for. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly code: ProblemCode;
  readonly fields: readonly FieldError[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProblemCode,
    message: string,
    details: { readonly fields?: readonly FieldError[]; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.code = code;
    this.fields = details.fields ?? [];
    this.headers = details.headers ?? {};
  }
}

/** For input of which one field is wrong. */
export function invalid(
  field: string,
  message: string,
  code: "invalid_input" | "too_large" = "invalid_input",
): Refusal {
  return new Refusal(code, `${field}: ${message}`, { fields: [{ field, message }] });
}

const retryAfterSeconds = 2;

/**
 * @param redactor looks through all that the answer says: a message may repeat what a server or a person said
 * @returns the answer for anything that was thrown
 */
export function problemOf(thrown: unknown, requestId: string, redactor: Pick<Redactor, "line">): Response {
  const known = thrown instanceof Refusal || thrown instanceof OuterloopError ? thrown : undefined;
  const code = known?.code ?? "internal";
  const { status, title } = table[code];
  // Ours, but about the inside: what it says is for the log.
  const detail =
    known === undefined || status === 500
      ? `Something went wrong that should not. The log has more under request ${requestId}.`
      : known.message;
  const body: Problem = {
    type: `urn:outerloop:problem:${code}`,
    title,
    status,
    detail,
    code,
    instance: `urn:outerloop:request:${requestId}`,
    ...(known !== undefined && status !== 500 && known.fields.length > 0 ? { errors: [...known.fields] } : {}),
  };
  return new Response(redactor.line(JSON.stringify(body)), {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      ...(status === 401 ? { "www-authenticate": 'Bearer realm="outerloop"' } : {}),
      ...(status === 503 || status === 429 ? { "retry-after": String(retryAfterSeconds) } : {}),
      ...(thrown instanceof Refusal ? thrown.headers : {}),
    },
  });
}
