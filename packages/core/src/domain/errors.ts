/**
 * The one error that our own code throws. Expected results are returned unions instead; what is thrown is a fault,
 * and says by `retry` whether trying again can help.
 */
import type { FailedTry } from "./model.ts";

export type ErrorCode =
  | "invalid_input"
  | "too_large"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "conflict"
  | "unsupported"
  | "config"
  | "store_unavailable"
  | "queue_unavailable"
  | "model_unavailable"
  | "model_refused"
  | "model_output"
  | "context_length"
  | "rate_limited"
  /** No request was made: a limit or a breaker of ours holds it back for now. */
  | "held_back"
  | "timeout"
  | "cancelled"
  | "tool_failed"
  | "internal";

export type Retry = "never" | "backoff" | { readonly afterMs: number };

export interface ErrorDetails {
  readonly retry?: Retry;
  readonly cause?: unknown;
  /** What about the input is wrong, by field: for problem documents. */
  readonly fields?: readonly FieldError[];
  /** What a call that failed was billed all the same. */
  readonly billed?: Billed;
}

export interface Billed {
  readonly tokens: number;
  /** null where no price is known. */
  readonly costMicroUsd: number | null;
}

export interface FieldError {
  /** A path into the input, `budget.steps` or `attachments[2].path`. */
  readonly field: string;
  readonly message: string;
}

export class OuterloopError extends Error {
  override readonly name = "OuterloopError";
  readonly code: ErrorCode;
  readonly retry: Retry;
  readonly fields: readonly FieldError[];
  readonly billed: Billed | null;

  /** @param message what failed, of which id, and what to do about it */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.retry = details.retry ?? "never";
    this.fields = details.fields ?? [];
    this.billed = details.billed ?? null;
  }
}

/** What a routed call of models ended with; its message says it of each model of the route. */
export class ModelError extends OuterloopError {
  readonly tries: readonly FailedTry[];

  constructor(code: ErrorCode, message: string, tries: readonly FailedTry[], details: ErrorDetails = {}) {
    super(code, message, details);
    this.tries = tries;
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
