/**
 * One call under way: its three deadlines, its cancellation, and what a failure of it means. Adapters run inside
 * `liveCall` and report every sign of life.
 *
 * 1. A call ends: cancelled by the caller's signal, by silence, or by the total limit.
 * 2. The caller's signal wins over a timeout that it raced.
 */
import { OuterloopError } from "../../../domain/errors.ts";
import type { ModelCallOptions } from "../../../domain/model.ts";
import { toProviderError, type FaultContext } from "./provider-error.ts";

export interface Timeouts {
  readonly totalMs: number;
  /** Silence allowed before the first token; reasoning models think here, local servers load their weights. */
  readonly firstTokenMs: number;
  /** Silence allowed once tokens flow. */
  readonly betweenTokensMs: number;
}

/** `firstTokenMs` stays under the 300 s after which Node's own fetch gives up on silence, so that ours names the cause. */
export const defaultTimeouts: Timeouts = { totalMs: 600_000, firstTokenMs: 240_000, betweenTokensMs: 120_000 };

export interface LiveCall {
  /** Ends the SDK's request. */
  readonly signal: AbortSignal;
  /** Something arrived that is no token yet. */
  beat(): void;
  /** A piece of the answer arrived; `text` where watchers may see it. */
  token(text?: string): void;
}

type Expiry = "total" | "first token" | "between tokens";

export async function liveCall<T>(
  context: FaultContext,
  timeouts: Timeouts,
  options: ModelCallOptions,
  run: (live: LiveCall) => Promise<T>,
): Promise<T> {
  if (options.signal.aborted) throw cancelled(context);
  const stop = new AbortController();
  let expired: Expiry | undefined;
  const expire = (why: Expiry) => {
    expired ??= why;
    stop.abort();
  };
  const onCancel = () => stop.abort();
  options.signal.addEventListener("abort", onCancel, { once: true });
  const total = setTimeout(expire, timeouts.totalMs, "total");
  let silence = setTimeout(expire, timeouts.firstTokenMs, "first token");
  let started = false;
  const live: LiveCall = {
    signal: stop.signal,
    beat: () => void silence.refresh(),
    token(text) {
      options.onToken?.();
      if (started) silence.refresh();
      else {
        started = true;
        clearTimeout(silence);
        silence = setTimeout(expire, timeouts.betweenTokensMs, "between tokens");
      }
      if (text) options.onText?.(text);
    },
  };
  try {
    return await run(live);
  } catch (thrown) {
    if (options.signal.aborted) throw cancelled(context);
    if (expired) throw timedOut(context, timeouts, expired);
    throw toProviderError(thrown, context);
  } finally {
    clearTimeout(total);
    clearTimeout(silence);
    options.signal.removeEventListener("abort", onCancel);
  }
}

/** A stream that stopped without its last event; SDKs also end silently when their request is aborted. */
export function endedEarly(context: FaultContext): OuterloopError {
  return new OuterloopError("model_unavailable", `${context.where}: the answer broke off before its end`, {
    retry: "backoff",
  });
}

function cancelled(context: FaultContext): OuterloopError {
  return new OuterloopError("cancelled", `${context.where}: cancelled`);
}

/** Silence may be the server's moment; an answer that outlasts the total limit would do so again. */
function timedOut(context: FaultContext, timeouts: Timeouts, expired: Expiry): OuterloopError {
  switch (expired) {
    case "total":
      return new OuterloopError("timeout", `${context.where}: not finished after ${timeouts.totalMs} ms in total`);
    case "first token":
      return new OuterloopError(
        "timeout",
        `${context.where}: silent for ${timeouts.firstTokenMs} ms before the first token`,
        {
          retry: "backoff",
        },
      );
    case "between tokens":
      return new OuterloopError(
        "timeout",
        `${context.where}: silent for ${timeouts.betweenTokensMs} ms between tokens`,
        {
          retry: "backoff",
        },
      );
  }
}
