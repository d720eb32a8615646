/** What JSON can hold. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/** JSON with keys sorted at every depth, so that equal values have equal text: for hashes and idempotency keys. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((inner) => canonicalJson(inner) ?? "null").join(",")}]`;
  if ("toJSON" in value && typeof value.toJSON === "function") return canonicalJson(value.toJSON());
  const parts: string[] = [];
  for (const key of sortedKeys(value)) {
    // Of what JSON leaves out: undefined, functions.
    const text: string | undefined = canonicalJson((value as Record<string, unknown>)[key]);
    if (text !== undefined) parts.push(`${JSON.stringify(key)}:${text}`);
  }
  return `{${parts.join(",")}}`;
}

/** Keys that are array indices come first, by number: no object of JavaScript has them in another order. */
function sortedKeys(value: object): string[] {
  const keys = Object.keys(value);
  const indices = keys.filter((key) => /^(?:0|[1-9]\d{0,9})$/.test(key) && Number(key) < 2 ** 32 - 1);
  return indices.length === 0 ? keys.sort() : [...indices, ...keys.slice(indices.length).sort()];
}

/** Whether JSON may hold what `storable` replaces: as escapes they all begin so. */
export function mayBeUnstorable(json: string): boolean {
  return /\\u(?:0000|d[89a-f])/i.test(json);
}

/** What Postgres cannot keep in text or jsonb, replaced: NUL, and halves of a character that a cut left. Keys too. */
export function storable<Value>(value: Value): Value {
  if (typeof value === "string") return value.replaceAll("\0", "\uFFFD").toWellFormed() as Value;
  if (Array.isArray(value)) return value.map(storable) as Value;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [storable(key), storable(inner)])) as Value;
}
