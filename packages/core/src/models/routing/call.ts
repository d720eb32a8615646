/**
 * A call along a route: each model in turn, with its limits, its breaker and its retries, until one answers.
 *
 * 1. A model that is held back by a breaker, a limit or a full bulkhead is passed over without a request.
 * 2. A failure that trying again may mend is tried again at the same model while the retry budget lasts; what takes long (a
 *    timeout, a Retry-After) is rather asked of the next one.
 * 3. What no other model would mend (a refusal, a cancelled call) ends the call.
 * 4. Where the whole route fails, the error says when it may be tried again: waiting is a row, not a held slot.
 */
import { BulkheadRejectedError, DelegateBackoff, handleWhen, retry, TaskCancelledError } from "cockatiel";
import { backoffMs } from "../../domain/backoff.ts";
import { mostInputTokens } from "../../domain/budget.ts";
import { ModelError, OuterloopError, type ErrorCode, type Retry } from "../../domain/errors.ts";
import type { FailedTry, ModelRequest, RoutedCallOptions } from "../../domain/model.ts";
import type { ProviderResponse } from "../provider.ts";
import type { Breakers } from "./breakers.ts";
import type { LimitScope, ModelControl, Ticket } from "./control.ts";
import type { Target } from "./targets.ts";
import { isLimited } from "./targets.ts";
import type { ModelSettings } from "./settings.ts";

export interface CallParts {
  readonly settings: ModelSettings;
  readonly breakers: Breakers;
  readonly control: ModelControl;
  readonly random: () => number;
  /** Told of every request that was made or passed over and failed. */
  readonly failed: (stage: string, failure: FailedTry) => void;
}

export interface Answer {
  readonly target: Target;
  readonly response: ProviderResponse;
  readonly firstTokenMs: number | null;
  readonly tries: readonly FailedTry[];
}

/** What one try asks of a model: `generate`, or a transcription. */
export type Ask<Reply> = (target: Target, model: string, signal: AbortSignal, number: number) => Promise<Reply>;

/** Whose calls are not of one tenant. */
export const nobody = "";
/** Before a full bulkhead is asked again. */
const busyMs = 2000;
/** Before a model that is away is looked at again. */
const longestAwayMs = 25_000;
/** A wait for a model that is away is no shorter: whoever comes at once finds it away. */
const shortestWaitMs = 500;

/** @throws ModelError */
export async function callRoute(
  parts: CallParts,
  route: readonly Target[],
  request: ModelRequest,
  options: RoutedCallOptions,
): Promise<Answer> {
  let firstTokenMs: number | null = null;
  const { avoid = [], caller } = options;
  // What answered unusably before is asked last.
  const ordered = route.toSorted((a, b) => Number(avoid.includes(a.name())) - Number(avoid.includes(b.name())));
  const { target, reply, tries } = await alongRoute<ProviderResponse>(
    parts,
    ordered,
    {
      stage: request.stage,
      tenantId: caller.tenantId,
      tokens: () => mostInputTokens(request) + request.maxOutputTokens,
      waited: (caller.waits ?? 0) > 0,
      priced: caller.priced ?? false,
      signal: options.signal,
      began: () => firstTokenMs !== null,
      used: ({ usage }) => usage.inputTokens + usage.outputTokens,
    },
    (each, model, signal, number) => {
      const begunAt = performance.now();
      let offset = 0;
      firstTokenMs = null;
      const { onText } = options;
      return each.provider.generate(model, cutTo(request, each), {
        signal,
        params: each.params,
        onToken: () => (firstTokenMs ??= Math.round(performance.now() - begunAt)),
        ...(onText !== undefined && {
          onText: (text: string) => {
            onText({ try: number, offset, text });
            offset += text.length;
          },
        }),
      });
    },
  );
  return { target, response: reply, firstTokenMs, tries };
}

function cutTo(request: ModelRequest, { params }: Target): ModelRequest {
  const { maxOutputTokens } = params;
  return maxOutputTokens === undefined || maxOutputTokens >= request.maxOutputTokens
    ? request
    : { ...request, maxOutputTokens };
}

export interface Errand<Reply> {
  readonly stage: string;
  readonly tenantId: string;
  /** At most; asked only where something is limited. */
  readonly tokens: () => number;
  readonly waited: boolean;
  readonly priced: boolean;
  readonly signal: AbortSignal;
  /** Whether the try under way has brought a piece of an answer. */
  readonly began: () => boolean;
  /** Tokens that it took in the end. */
  readonly used: (reply: Reply) => number;
}

export async function alongRoute<Reply>(
  parts: CallParts,
  route: readonly Target[],
  errand: Errand<Reply>,
  ask: Ask<Reply>,
): Promise<{ readonly target: Target; readonly reply: Reply; readonly tries: readonly FailedTry[] }> {
  const begunAt = performance.now();
  const tries: FailedTry[] = [];
  const ends: OuterloopError[] = [];
  let number = 0;
  for (const [index, target] of route.entries()) {
    if (errand.signal.aborted) throw cancelled(tries);
    const end = passedOver(parts, target, errand) ?? tooSmall(target, ends, route.slice(0, index));
    if (end !== null) {
      note(target, end.why, end.error, 0);
      ends.push(end.error);
      continue;
    }
    try {
      const reply = await tryOne(parts, target, errand, index < route.length - 1, note, (model, signal) => {
        number += 1;
        return ask(target, model, signal, number);
      });
      return { target, reply, tries };
    } catch (thrown) {
      if (errand.signal.aborted) throw cancelled(tries);
      // What is no word of a model is a fault of ours or of the store.
      if (!(thrown instanceof OuterloopError) || !isOfModel(thrown.code)) throw thrown;
      if (!mayAskOther(thrown.code)) throw new ModelError(thrown.code, thrown.message, tries, detailsOf(thrown));
      ends.push(thrown);
    }
  }
  throw routeFailed(errand.stage, ends, tries);

  function note(target: Target, why: PassOver | ErrorCode, error: OuterloopError, ms: number): void {
    const failure: FailedTry = {
      model: target.name(),
      why,
      message: error.message,
      ms: Math.round(ms),
      atMs: Math.round(performance.now() - begunAt - ms),
    };
    tries.push(failure);
    parts.failed(errand.stage, failure);
  }
}

/** Why no request was made of a model. */
export const passOvers = ["breaker_open", "cooling", "over_limit", "busy", "unpriced", "context_length"] as const;
type PassOver = (typeof passOvers)[number];

type Note = (target: Target, why: PassOver | ErrorCode, error: OuterloopError, ms: number) => void;

/** Why no request is made of a model now; null where one may be. */
function passedOver<Reply>(
  { breakers }: CallParts,
  target: Target,
  errand: Errand<Reply>,
): { readonly why: PassOver; readonly error: OuterloopError } | null {
  if (errand.priced && target.price() === undefined) {
    const message = `${target.name()}: its price is not known, and money is limited; say it in models.prices`;
    return { why: "unpriced", error: new OuterloopError("config", message) };
  }
  const hold = breakers.hold(target.name());
  if (hold === null) return null;
  if (hold.state === "cooling")
    return { why: "cooling", error: heldBack(`${target.name()} asked for no calls: ${hold.reason}`, hold.ms) };
  // An outage like any other: it is looked at again before long, and the goal's wall clock goes on.
  const afterMs = Math.ceil(Math.min(hold.ms, longestAwayMs));
  const error = new OuterloopError("model_unavailable", `${target.name()} is away: ${hold.reason}`, {
    retry: { afterMs },
  });
  return { why: "breaker_open", error };
}

/** A prompt that was too long for one model is not sent to another that is known to take no more. */
function tooSmall(
  target: Target,
  ends: readonly OuterloopError[],
  before: readonly Target[],
): { readonly why: PassOver; readonly error: OuterloopError } | null {
  const tooLong = ends.findLast((error) => error.code === "context_length");
  if (tooLong === undefined) return null;
  const largest = Math.max(...before.map((each) => each.capabilities.contextTokens ?? 0));
  const own = target.capabilities.contextTokens;
  return own !== undefined && own <= largest ? { why: "context_length", error: tooLong } : null;
}

/** One model, with its retries. */
async function tryOne<Reply>(
  parts: CallParts,
  target: Target,
  errand: Errand<Reply>,
  hasNext: boolean,
  note: Note,
  ask: (model: string, signal: AbortSignal) => Promise<Reply>,
): Promise<Reply> {
  const { settings, random } = parts;
  const { gate } = target;
  const { tries, firstWaitMs, capMs, longestHeldMs } = settings.retry;
  const waitOf = (error: OuterloopError, tried: number) =>
    typeof error.retry === "string"
      ? backoffMs({ baseMs: firstWaitMs, capMs }, tried - 1, random)
      : error.retry.afterMs;
  let made = 0;
  const mayRetry = (thrown: unknown) => {
    if (!(thrown instanceof OuterloopError) || thrown.retry === "never" || thrown.code === "held_back") return false;
    // What has taken long, or will, is rather asked of another.
    if (hasNext && (thrown.code === "timeout" || waitOf(thrown, 1) > firstWaitMs * 2)) return false;
    if (typeof thrown.retry !== "string" && thrown.retry.afterMs > longestHeldMs) return false;
    // The last one is not tried again, and costs no retry.
    return made < tries && parts.breakers.hold(target.name()) === null && gate.retries.withdraw();
  };
  const policy = retry(handleWhen(mayRetry), {
    maxAttempts: tries - 1,
    backoff: new DelegateBackoff(({ attempt, result }) =>
      "error" in result && result.error instanceof OuterloopError ? waitOf(result.error, attempt) : 0,
    ),
  });
  gate.retries.deposit();
  return untilAborted(
    policy.execute(
      () =>
        inBulkheads(target, errand.signal, note, () => {
          made += 1;
          return once(parts, target, errand, note, ask);
        }),
      errand.signal,
    ),
    errand.signal,
  );
}

/** cockatiel's waits and queues do not hear the signal. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(new OuterloopError("cancelled", "the call was cancelled"));
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    aborted.catch(() => undefined);
    work.catch(() => undefined);
  }
}

async function inBulkheads<T>(target: Target, signal: AbortSignal, note: Note, run: () => Promise<T>): Promise<T> {
  const nested = target.gate.bulkheads.reduceRight((inner, bulkhead) => () => bulkhead.execute(inner, signal), run);
  try {
    return await nested();
  } catch (thrown) {
    if (thrown instanceof TaskCancelledError) throw new OuterloopError("cancelled", "the call was cancelled");
    if (!(thrown instanceof BulkheadRejectedError)) throw thrown;
    const error = heldBack(`${target.name()} has as many calls under way as it may`, busyMs);
    note(target, "busy", error, 0);
    throw error;
  }
}

/** One request, if its limits allow it. */
async function once<Reply>(
  parts: CallParts,
  target: Target,
  errand: Errand<Reply>,
  note: Note,
  ask: (model: string, signal: AbortSignal) => Promise<Reply>,
): Promise<Reply> {
  const { breakers } = parts;
  if (errand.signal.aborted) throw new OuterloopError("cancelled", "the call was cancelled");
  const ticket = await takeOf(parts, target, errand, note);
  const settle = (tokens: number) =>
    ticket === null ? undefined : void parts.control.settle(ticket, tokens).catch(() => undefined);
  const begunAt = performance.now();
  try {
    const reply = await ask(await target.model(errand.signal), errand.signal);
    breakers.succeeded(target.name());
    settle(errand.used(reply));
    return reply;
  } catch (thrown) {
    if (!(thrown instanceof OuterloopError) || errand.signal.aborted) throw thrown;
    // What was answered at once was not read; of what broke off nobody knows.
    if (!errand.began()) settle(0);
    note(target, thrown.code, thrown, performance.now() - begunAt);
    blame(breakers, target, thrown);
    throw thrown;
  }
}

async function takeOf<Reply>(
  { control, settings }: CallParts,
  target: Target,
  errand: Errand<Reply>,
  note: Note,
): Promise<Ticket | null> {
  const scopes = target.limits.filter(isLimited).map((limit): LimitScope => ({
    scope: limit.target,
    requests: limit.requestsPerMinute ?? null,
    tokens: limit.tokensPerMinute ?? null,
    // What is of several tenants together, as embeddings are, counts for the whole alone.
    tenant_requests: errand.tenantId === nobody ? null : (limit.tenant.requestsPerMinute ?? null),
    tenant_tokens: errand.tenantId === nobody ? null : (limit.tenant.tokensPerMinute ?? null),
  }));
  if (scopes.length === 0) return null;
  const { tenantId, tokens, waited } = errand;
  const taken = await control.take({ tenantId, scopes, tokens: tokens(), windowMs: settings.windowMs, waited });
  if (taken.kind === "taken") return taken.ticket;
  const error = heldBack(`the limit of ${taken.scope} is reached`, taken.waitMs);
  note(target, "over_limit", error, 0);
  throw error;
}

/**
 * What a failure says of the model, rather than of the request. A key that is refused is answered at once and means that
 * somebody must do something: where another model serves it costs little, and where none does it must be told, not waited for.
 */
function blame(breakers: Breakers, target: Target, error: OuterloopError): void {
  switch (error.code) {
    case "model_unavailable":
    case "timeout":
      return breakers.failed(target.name(), error.message);
    case "rate_limited":
      if (typeof error.retry === "string") return breakers.failed(target.name(), error.message);
      return breakers.cool(target.name(), error.message, error.retry.afterMs);
    default:
  }
}

function isOfModel(code: ErrorCode): boolean {
  return code !== "store_unavailable" && code !== "queue_unavailable" && code !== "internal";
}

/** Whether another model may do what this one could not. */
function mayAskOther(code: ErrorCode): boolean {
  return code !== "model_refused" && code !== "cancelled" && code !== "too_large";
}

function heldBack(message: string, afterMs: number): OuterloopError {
  return new OuterloopError("held_back", message, { retry: { afterMs: Math.ceil(afterMs) } });
}

function cancelled(tries: readonly FailedTry[]): ModelError {
  return new ModelError("cancelled", "the call was cancelled", tries);
}

/** @param ends of each model of the route, in order */
function routeFailed(stage: string, ends: readonly OuterloopError[], tries: readonly FailedTry[]): ModelError {
  const [first] = ends;
  if (first === undefined) return new ModelError("config", `no model serves ${stage}`, tries);
  const again = ends.filter((end) => end.retry !== "never");
  const message = [...new Set(ends.map((end) => end.message))].join("; ");
  if (again.length === 0) return new ModelError(first.code, message, tries, detailsOf(first));
  // Held back by us alone: nothing failed, and it is only a matter of waiting.
  const code = again.every((end) => end.code === "held_back")
    ? "held_back"
    : again.find((end) => end.code !== "held_back")!.code;
  return new ModelError(code, message, tries, { retry: soonest(again.map((end) => end.retry)) });
}

function soonest(retries: readonly Retry[]): Retry {
  const waits = retries.flatMap((each) => (typeof each === "string" ? [] : [each.afterMs]));
  return retries.includes("backoff") ? "backoff" : { afterMs: Math.max(shortestWaitMs, Math.min(...waits)) };
}

function detailsOf({ retry: again, billed }: OuterloopError) {
  return { retry: again, ...(billed !== null && { billed }) };
}
