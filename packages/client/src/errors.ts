/** What a call can end with besides its answer. Retry logic reads `retry` only. */
import { problemSchema, type FieldError, type Problem } from "@outerloop/core/domain";

export type ClientRetry = "never" | "backoff" | { readonly afterMs: number };

/** The server answered, and the answer is no: its problem document (RFC 9457). */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  /** The server's code, `not_found` or `invalid_input`; `http_502` where something between answered in its place. */
  readonly code: string;
  readonly detail: string;
  readonly errors: readonly FieldError[];
  readonly retry: ClientRetry;

  constructor(problem: Pick<Problem, "status" | "code" | "detail" | "errors">, retry: ClientRetry) {
    // A detail may name the first fields already.
    const fields = (problem.errors ?? [])
      .filter((each) => !problem.detail.includes(each.message))
      .map((each) => `\n  ${each.field}: ${each.message}`);
    super(problem.detail + fields.join(""));
    this.status = problem.status;
    this.code = problem.code;
    this.detail = problem.detail;
    this.errors = problem.errors ?? [];
    this.retry = retry;
  }
}

/** No usable answer came: the server is away, too slow, or something else speaks there. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly url: string;
  readonly retry: ClientRetry;

  /** @param why follows the address: "refused the connection", "did not answer within 30 s" */
  constructor(url: string, why: string, details: { readonly retry?: ClientRetry; readonly cause?: unknown } = {}) {
    super(`${url} ${why}`, details.cause === undefined ? undefined : { cause: details.cause });
    this.url = url;
    this.retry = details.retry ?? "backoff";
  }
}

/** Statuses after which the same request may succeed. */
const passing: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** What an error that is no problem document shows of its body. */
const maxExcerptChars = 200;

/** Reads an answer that is no success. */
export async function readApiError(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  const read = problemSchema.safeParse(parseJson(text));
  const problem = read.success
    ? read.data
    : {
        status: response.status,
        code: `http_${response.status}`,
        detail: `${response.status} ${response.statusText}: ${text.slice(0, maxExcerptChars)}`.trim(),
      };
  return new ApiError(problem, retryOf(response));
}

function retryOf(response: Response): ClientRetry {
  if (!passing.has(response.status)) return "never";
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? { afterMs: seconds * 1000 } : "backoff";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What of a failed `fetch` a person can act on; undici hides it in the cause. */
export function describeFailure(thrown: unknown): string {
  const code = codeOf(thrown);
  switch (code) {
    case "ECONNREFUSED":
      return "refused the connection: no server listens there";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "has a host name that cannot be found";
    case "ECONNRESET":
    case "UND_ERR_SOCKET":
      return "closed the connection before it had answered";
    case null:
      return `could not be asked: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    default:
      return `could not be reached (${code})`;
  }
}

function codeOf(thrown: unknown): string | null {
  // Ends: causes are finitely deep.
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ("code" in error && typeof error.code === "string") return error.code;
    if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  }
  return null;
}
