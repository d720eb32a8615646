/** Remembers for a moment who a key speaks for. Keys are kept as hashes; a revoked one works for `ttlMs` more at most. */
import { sha256, type Principal } from "@outerloop/core";
import { createRemembered, type RememberedLimits } from "./remembered.ts";

export interface PrincipalCache {
  /** Asks `find` where the cache does not know. Unknown keys are not remembered: the next moment they may exist. */
  lookUp(key: string, find: (key: string) => Promise<Principal | undefined>): Promise<Principal | undefined>;
}

export function createPrincipalCache(limits: RememberedLimits, clock: () => number): PrincipalCache {
  const remembered = createRemembered<Principal>(limits, clock);
  return { lookUp: (key, find) => remembered.lookUp(sha256(key), () => find(key)) };
}
