/**
 * Sees to it that a model call is paid for before it is made: what is held mostly does, since the commit before took it;
 * else one more commit takes what is missing, and the answer is cut to what there is.
 */
import { affordableOutput, callNeeds, covers, nextCallTokens, type Held, type PriceCall } from "../domain/budget.ts";
import type { ModelRequest, Usage } from "../domain/model.ts";
import type { Committed, Hold } from "./commit.ts";

export interface PlannedCall {
  readonly request: ModelRequest;
  readonly price: PriceCall;
  /** What was billed for the same conversation without its last message. */
  readonly before?: Usage | undefined;
}

export type Room =
  | { readonly kind: "room"; readonly request: ModelRequest }
  /** The claim must end: a budget is spent, or held by others, or the goal was paused, or the claim was lost. */
  | { readonly kind: "none"; readonly committed: Committed };

export async function makeRoom(
  { request, price, before }: PlannedCall,
  held: Held,
  commit: (change: { readonly reserve: number; readonly hold: Hold }) => Promise<Committed>,
): Promise<Room> {
  const needs = callNeeds(request, price, before);
  if (covers(held, needs)) return { kind: "room", request };
  const committed = await commit({
    reserve: Math.max(needs.steps - held.steps, 0),
    hold: {
      tokens: needs.tokens,
      need_tokens: needs.fewestTokens,
      micro_usd: held.money ? (needs.microUsd ?? 0) : 0,
      need_micro_usd: held.money ? (needs.fewestMicroUsd ?? 0) : 0,
      ...(needs.microUsd === null && { unpriced: true }),
    },
  });
  if (committed.outcome !== "won" || committed.spent !== null || committed.goalStatus === "paused")
    return { kind: "none", committed };
  const maxOutputTokens = affordableOutput(committed.held, request, price, before);
  // Money that is limited only since a moment ago was not asked for yet.
  if (maxOutputTokens === undefined) return { kind: "none", committed: { ...committed, spent: "wait" } };
  return { kind: "room", request: { ...request, maxOutputTokens } };
}

/** What the commit of a call that asks for tools should hold for the one that reads their results; taken where it is free. */
export function nextCallHold(
  usage: Usage,
  toolCalls: number,
  { request, price }: Pick<PlannedCall, "request" | "price">,
  held: Held,
): Hold {
  const tokens = nextCallTokens(usage, toolCalls, request.maxOutputTokens);
  return {
    tokens,
    need_tokens: 0,
    micro_usd: held.money ? (price(tokens - request.maxOutputTokens, request.maxOutputTokens) ?? 0) : 0,
    need_micro_usd: 0,
  };
}
