/**
 * Keeps the process's own secrets out of what leaves it: log lines, problem documents, the journal, events, memory, and what
 * models write while they write it.
 *
 * 1. Exact values are found as they are, as JSON has them (also JSON inside of JSON), and percent-encoded as URLs have them.
 * 2. A value of under `minSecretChars` characters is no secret, nor is a password that is a mere word: taking `postgres` out of
 *    all texts would break them. As a part of its URL it is found.
 * 3. Shapes of keys (`sk-…`, `Bearer …`) are for what people read, where a wrong guess costs little; what is kept is searched for
 *    exact values alone.
 */
import { mayHaveShape, redact as redactShapes } from "./models/secrets.ts";

export interface Redactor {
  /** Whether a text, or any text in this JSON, holds an exact secret. */
  has(text: string): boolean;
  /** The value without exact secrets in its texts and keys. */
  kept<Value>(value: Value): Value;
  /** The text without exact secrets and without what looks like a key. */
  said(text: string): string;
  /** As `said`, of a line of JSON. */
  line(json: string): string;
  /**
   * Stars in place of secrets, so that places in the text stay what they are.
   * @returns `rest`: characters at its end with which a secret may begin
   */
  mask(text: string): { readonly text: string; readonly rest: number };
}

export const minSecretChars = 6;
const gone = "[redacted]";
const mereWord = /^(?:[a-z]{0,15}|[A-Z]{0,15})$/;

/** The process's secrets, which may grow; nothing that shows an object shows them. */
export class KnownSecrets {
  readonly #values = new Set<string>();
  /** As they are searched for, longest first: one that another begins with would leave the rest of it. */
  #forms: readonly string[] = [];

  constructor(values: Iterable<string> = []) {
    this.add(values);
  }

  get forms(): readonly string[] {
    return this.#forms;
  }

  add(values: Iterable<string>): void {
    const before = this.#values.size;
    for (const value of values) if (value.length >= minSecretChars) this.#values.add(value);
    if (this.#values.size === before) return;
    this.#forms = [...new Set([...this.#values].flatMap(formsOf))].toSorted((a, b) => b.length - a.length);
  }
}

export function createRedactor(secrets: KnownSecrets | readonly string[]): Redactor {
  const known = secrets instanceof KnownSecrets ? secrets : new KnownSecrets(secrets);
  const forms = () => known.forms;

  const has = (text: string) => forms().some((form) => text.includes(form));
  const exact = (text: string) => {
    let clean = text;
    for (const form of forms()) if (clean.includes(form)) clean = clean.replaceAll(form, gone);
    return clean;
  };
  const said = (text: string) => redactShapes(exact(text), []);
  return {
    has,
    kept: (value) => mapTexts(value, exact),
    said,
    line(json) {
      if (!has(json) && !mayHaveShape.test(json)) return json;
      try {
        // Taken out of the JSON itself, half of an escape could stay.
        return JSON.stringify(mapTexts(JSON.parse(json) as unknown, said)) + (json.endsWith("\n") ? "\n" : "");
      } catch {
        return said(json);
      }
    },
    mask(text) {
      let masked = text;
      let rest = 0;
      for (const form of forms()) {
        masked = masked.replaceAll(form, "*".repeat(form.length));
      }
      for (const form of forms()) rest = Math.max(rest, beginningAtEnd(masked, form));
      return { text: masked, rest };
    },
  };
}

/** Every part of a setting that is a secret: the whole, what a URL has for a password, the texts in JSON of that name. */
export function secretsIn(setting: string): readonly string[] {
  // Several URLs with commas between them, as Redis has them.
  const passwords = setting.split(",").flatMap((part) => {
    const password = /^[a-z]+:\/\//.test(part.trim()) ? URL.parse(part.trim())?.password : undefined;
    return password === undefined || password === "" ? [] : [password, decoded(password)];
  });
  return [setting, ...passwords.filter((password) => !mereWord.test(password)), ...secretsOfJson(setting)];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function secretsOfJson(setting: string): readonly string[] {
  if (!setting.trimStart().startsWith("{")) return [];
  const found: string[] = [];
  try {
    JSON.parse(setting, (key, value: unknown) => {
      if (/secret|password|token|key/i.test(key))
        found.push(...[value].flat().filter((each) => typeof each === "string"));
      return value;
    });
  } catch {
    // Whoever reads the setting says what is wrong with it.
  }
  return found;
}

function formsOf(secret: string): readonly string[] {
  const inJson = (text: string) => JSON.stringify(text).slice(1, -1);
  const once = inJson(secret);
  const twice = inJson(once);
  return [secret, once, twice, inJson(twice), encodeURIComponent(secret.toWellFormed())];
}

function mapTexts<Value>(value: Value, clean: (text: string) => string): Value {
  if (typeof value === "string") return clean(value) as Value;
  if (Array.isArray(value)) return value.map((inner: unknown) => mapTexts(inner, clean)) as Value;
  // Bytes and dates have no texts.
  if (value === null || typeof value !== "object" || !isPlain(value)) return value;
  const entries = Object.entries(value).map(([key, inner]) => [clean(key), mapTexts(inner as unknown, clean)]);
  return Object.fromEntries(entries) as Value;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The longest beginning of `form` that `text` ends with. */
function beginningAtEnd(text: string, form: string): number {
  for (let length = Math.min(form.length - 1, text.length); length > 0; length--)
    if (text.endsWith(form.slice(0, length))) return length;
  return 0;
}
