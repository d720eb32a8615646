/** Remembers for a moment what a key led to; those who ask meanwhile share one answer. What was not found is not remembered. */
export interface Remembered<Value> {
  lookUp(key: string, find: () => Promise<Value | undefined>): Promise<Value | undefined>;
}

export interface RememberedLimits {
  readonly ttlMs: number;
  readonly size: number;
}

export function createRemembered<Value>(limits: RememberedLimits, clock: () => number): Remembered<Value> {
  // A Map keeps the order of insertion, so its first entry is the one used longest ago.
  const entries = new Map<string, { readonly value: Value; readonly until: number }>();
  const looking = new Map<string, Promise<Value | undefined>>();
  return {
    async lookUp(key, find) {
      const known = entries.get(key);
      entries.delete(key);
      if (known !== undefined && known.until > clock()) {
        entries.set(key, known);
        return known.value;
      }
      const shared = looking.get(key);
      if (shared !== undefined) return shared;
      const until = clock() + limits.ttlMs;
      const asked = find()
        .then((value) => {
          if (value === undefined) return undefined;
          entries.set(key, { value, until });
          const [oldest] = entries.keys();
          if (entries.size > limits.size && oldest !== undefined) entries.delete(oldest);
          return value;
        })
        .finally(() => looking.delete(key));
      looking.set(key, asked);
      return asked;
    },
  };
}
