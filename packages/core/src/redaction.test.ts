import { inspect } from "node:util";
import fc from "fast-check";
import { pino } from "pino";
import { expect, test } from "vitest";
import { readConfig } from "./config.ts";
import { createRedactor, KnownSecrets, minSecretChars, secretsIn } from "./redaction.ts";

/** Anything that a key or a password may be, with what JSON escapes and what escapes look like in it. */
const secret = fc
  .string({
    minLength: minSecretChars,
    maxLength: 40,
    unit: fc.constantFrom(..."abnrtu019AZ-_/+=.\\\"'\n\t $%&漢".split("")),
  })
  .filter((text) => text.trim().length >= minSecretChars);
const around = fc.string({ maxLength: 20 });
const inJson = (text: string) => JSON.stringify(text).slice(1, -1);

function lineOf(redactor: ReturnType<typeof createRedactor>, said: object, message?: string): string {
  let written = "";
  const log = pino(
    { hooks: { streamWrite: (line) => redactor.line(line) } },
    { write: (line: string) => void (written += line) },
  );
  log.error(said, message);
  return written;
}

test("1: a secret never survives in a log line, wherever it stands, and the line stays JSON", () => {
  fc.assert(
    fc.property(secret, around, around, (planted, before, after) => {
      const redactor = createRedactor([planted]);
      const text = `${before}${planted}${after}`;
      const cause = new Error(`it said ${text}`);
      const thrown = new Error(`failed: ${text}`, { cause });
      const line = lineOf(
        redactor,
        { err: thrown, deep: { list: [{ text }, JSON.stringify({ text })], [text]: 1 }, stack: cause.stack },
        text,
      );
      const read = JSON.stringify(JSON.parse(line));
      for (const form of [inJson(planted), inJson(inJson(planted))]) expect(read).not.toContain(form);
    }),
    { numRuns: 300 },
  );
});

test("1: nor in a value that is kept, and all else of it stays what it was", () => {
  fc.assert(
    fc.property(secret, fc.jsonValue({ maxDepth: 3 }), (planted, beside) => {
      const redactor = createRedactor([planted]);
      fc.pre(!redactor.has(JSON.stringify(beside)));
      const value = { text: `a ${planted} b`, nested: [{ json: JSON.stringify([planted]) }], beside };
      expect(redactor.has(JSON.stringify(value))).toBe(true);
      const kept = redactor.kept(value);
      expect(redactor.has(JSON.stringify(kept))).toBe(false);
      expect(kept.beside).toEqual(beside);
      expect(kept.text).toContain("[redacted]");
    }),
    { numRuns: 300 },
  );
});

test("1: JSON whose escapes look like the beginning of a secret stays JSON", () => {
  const redactor = createRedactor(["nabcdef", "u0001x"]);
  const line = `${JSON.stringify({ text: "line\nabcdef and \u0001x" })}\n`;
  expect(JSON.parse(redactor.line(line))).toEqual({ text: "line\nabcdef and \u0001x" });
});

test("what is written piece by piece is masked in place, and what may become a secret is held back", () => {
  const planted = "ol_0123456789abcdef";
  const redactor = createRedactor([planted]);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 }), (sizes) => {
      const whole = `the key is ${planted}, and ol_ is how they begin`;
      let [shown, held, at] = ["", "", 0];
      for (const size of [...sizes, whole.length]) {
        held += whole.slice(at, at + size);
        at += size;
        const masked = redactor.mask(held);
        const until = at >= whole.length ? held.length : held.length - masked.rest;
        shown += masked.text.slice(0, until);
        held = held.slice(until);
      }
      expect(shown).toBe(whole.replace(planted, "*".repeat(planted.length)));
    }),
  );
});

test.each([
  "task-7f3a9c21d4e8b605 is done",
  "sk-learn and scikit-learn 1.5.2",
  "skateboarding, skeletonization, package-lock.json, risk-adjusted",
  "g_01jd8f3k2m9qv7x4t6w0z5ryab t_01jd8f3k2m9qv7x4t6w0z5ryab",
  "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  "hf_hub_download from huggingface_hub",
  "basic research, Bearer of bad news, a basic idea",
  "https://example.org/a@b and mailto:a@b.org",
])("2: ordinary words survive: %s", (text) => {
  const redactor = createRedactor(["short", "", "ol_0123456789abcdefghij"]);
  expect(redactor.said(text)).toBe(text);
  expect(redactor.line(JSON.stringify({ text }))).toBe(JSON.stringify({ text }));
});

test.each([
  ["sk-proj-a1b2c3d4e5f6g7h8i9j0", "sk-proj-a1b2"],
  ["sk-ab*****yz", "*****"],
  ["ghp_abcdefghijklmnop", "ghp_"],
  ["Authorization: Bearer abc.def", "abc.def"],
  ["authorization: basic dXNlcjpwYXNz", "dXNl"],
  ["postgres://user:pass@host/db", "user:pass"],
])("what looks like a key is not said: %s", (text, part) => {
  const redactor = createRedactor([]);
  expect(redactor.said(`it said ${text}.`)).not.toContain(part);
  expect(redactor.line(JSON.stringify({ text: `it said\n${text}.` }))).not.toContain(part);
});

test("the secrets of a process: keys, passwords in URLs as they are and decoded, those of webhooks; no mere words", () => {
  expect(secretsIn("redis://u:p%40ss-1234@a:1,redis://u:other-9876@b:2")).toEqual(
    expect.arrayContaining(["p%40ss-1234", "p@ss-1234", "other-9876"]),
  );
  expect(secretsIn("postgres://postgres:postgres@localhost/outerloop")).not.toContain("postgres");
  const { secrets } = readConfig({
    DATABASE_URL: "postgres://u:db-pass-1@h/d",
    OPENAI_API_KEY: "sk-from-the-environment",
    OUTERLOOP_WEBHOOKS: JSON.stringify({
      github: {
        scheme: "sha256",
        secret: ["It's a Secret to Everybody", "another secret, 32 bytes long..."],
        goal: "{text}",
      },
    }),
  });
  expect(secrets.forms).toEqual(
    expect.arrayContaining([
      "db-pass-1",
      "postgres://u:db-pass-1@h/d",
      "sk-from-the-environment",
      "It's a Secret to Everybody",
      "another secret, 32 bytes long...",
    ]),
  );
});

test("a secret that is learned later is taken out from then on, and what holds them shows none", () => {
  const secrets = new KnownSecrets(["first-secret-of-all"]);
  const redactor = createRedactor(secrets);
  expect(redactor.said("a second-secret-of-all")).toBe("a second-secret-of-all");
  secrets.add(["second-secret-of-all"]);
  expect(redactor.said("a second-secret-of-all and a first-secret-of-all")).toBe("a [redacted] and a [redacted]");
  expect(`${JSON.stringify(secrets)} ${inspect(secrets, { depth: 9, showHidden: true })}`).not.toContain("secret-of");
});
