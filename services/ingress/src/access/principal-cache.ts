/** Remembers for a moment who a key speaks for. Keys are kept as hashes; a revoked one works for `ttlMs` more at most. */
import { sha256, type Principal } from "@outerloop/core";

export interface PrincipalCache {
  /** Asks `find` where the cache does not know. Unknown keys are not remembered: the next moment they may exist. */
  lookUp(key: string, find: (key: string) => Promise<Principal | undefined>): Promise<Principal | undefined>;
}

export function createPrincipalCache(
  limits: { readonly ttlMs: number; readonly size: number },
  clock: () => number,
): PrincipalCache {
  // A Map keeps the order of insertion, so its first entry is the one used longest ago.
  const entries = new Map<string, { readonly principal: Principal; readonly until: number }>();
  return {
    async lookUp(key, find) {
      const hash = sha256(key);
      const known = entries.get(hash);
      entries.delete(hash);
      if (known !== undefined && known.until > clock()) {
        entries.set(hash, known);
        return known.principal;
      }
      const principal = await find(key);
      if (principal === undefined) return undefined;
      entries.set(hash, { principal, until: clock() + limits.ttlMs });
      const [oldest] = entries.keys();
      if (entries.size > limits.size && oldest !== undefined) entries.delete(oldest);
      return principal;
    },
  };
}
