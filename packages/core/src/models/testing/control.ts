/** What replicas share, in the memory of one test: breakers as in the database, limits as the test says. */
import type { HeldTarget, ModelControl, TakeRequest, Taken } from "../routing/control.ts";

export interface TestControl extends ModelControl {
  /** What was taken, in order. */
  readonly takes: readonly TakeRequest[];
  readonly settled: readonly number[];
  /** What the next takes answer; beyond them all is free. */
  answer(...replies: Taken[]): void;
  /** Passes over the time to the next probe. */
  probeNow(target: string): void;
}

export function createTestControl(): TestControl {
  const held = new Map<string, HeldTarget>();
  const takes: TakeRequest[] = [];
  const settled: number[] = [];
  const replies: Taken[] = [];
  const change = (target: string, row: Partial<HeldTarget>) => {
    const before = held.get(target);
    if (before !== undefined) held.set(target, { ...before, ...row });
  };
  return {
    takes,
    settled,
    answer: (...given) => void replies.push(...given),
    probeNow: (target) => change(target, { leftMs: 0 }),
    readHeld: async () => [...held.values()],
    async hold(target, state, reason, forMs) {
      held.set(target, { target, state, reason, leftMs: forMs, probing: false });
    },
    async claimProbe(target) {
      const row = held.get(target);
      if (row === undefined || row.probing || row.leftMs > 0) return false;
      change(target, { probing: true });
      return true;
    },
    async probeFailed(target, reason, openMs, maxOpenMs) {
      change(target, { probing: false, reason, leftMs: Math.min(openMs * 2, maxOpenMs) });
    },
    release: async (target) => void held.delete(target),
    async take(request) {
      takes.push(request);
      const { tenantId, scopes, tokens, windowMs } = request;
      const ticket = { scopes: scopes.map((each) => each.scope), tenantId, bucket: 1, tokens, windowMs };
      return replies.shift() ?? { kind: "taken", ticket };
    },
    settle: async (_ticket, tokens) => void settled.push(tokens),
  };
}
