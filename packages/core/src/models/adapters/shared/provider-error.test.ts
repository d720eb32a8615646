import { expect, test } from "vitest";
import { readRetryAfter, toProviderError } from "./provider-error.ts";
import { redact } from "../../secrets.ts";

const context = { where: "openai/m", secrets: ["letmein-please"] };
const thrown = (fields: object) => Object.assign(new Error("said"), fields);

test.each([
  [{ status: 401 }, "config", "never"],
  [{ status: 403 }, "config", "never"],
  [{ status: 404 }, "config", "never"],
  [{ status: 400 }, "invalid_input", "never"],
  [{ status: 402 }, "config", "never"],
  [{ status: 429, code: "insufficient_quota" }, "config", "never"],
  [{ status: 429 }, "rate_limited", "backoff"],
  [{ type: "rate_limit_error" }, "rate_limited", "backoff"],
  [{ type: "overloaded_error" }, "model_unavailable", "backoff"],
  [{ status: 408 }, "model_unavailable", "backoff"],
  [{ status: 503, headers: new Headers({ "retry-after": "2" }) }, "model_unavailable", { afterMs: 2000 }],
  [{ status: 413 }, "context_length", "never"],
  [{ status: 400, code: "context_length_exceeded" }, "context_length", "never"],
  [{ status: 400, code: "content_filter" }, "model_refused", "never"],
  [{}, "model_unavailable", "backoff"],
] as const)("%j is %s", (fields, code, retry) => {
  expect(toProviderError(thrown(fields), context)).toMatchObject({ code, retry });
});

test("Retry-After is read in milliseconds, seconds and dates, a date by the server's own clock", () => {
  expect(readRetryAfter(new Headers({ "retry-after-ms": "1500", "retry-after": "9" }))).toBe(1500);
  expect(readRetryAfter(new Headers({ "retry-after": "0.5" }))).toBe(500);
  const date = "Fri, 20 Nov 2026 10:00:00 GMT";
  expect(readRetryAfter(new Headers({ "retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", date }))).toBe(30_000);
  expect(readRetryAfter(new Headers({ "retry-after": "soon" }))).toBeUndefined();
  expect(readRetryAfter(new Headers())).toBeUndefined();
});

test.each([
  "letmein-please",
  "sk-ant-api03-abcdefghijklmnop",
  "sk-ab*****yz",
  "ghp_abcdefghijklmnop",
  "Bearer abc.def",
  "http://user:pass@host/v1",
])("%s is redacted", (secret) => {
  const clean = redact(`it said ${secret} twice: ${secret}`, context.secrets);
  expect(clean).toContain("[redacted]");
  expect(clean).not.toMatch(/letmein|api03|\*\*|ghp_|abc\.def|user:pass/);
});

test("a message keeps what helps: the causes of a lost connection, and no more than 300 characters of it", () => {
  const cause = new Error("connect ECONNREFUSED 127.0.0.1:1");
  const error = toProviderError(
    new Error("Connection error.", { cause: new TypeError("fetch failed", { cause }) }),
    context,
  );
  expect(error.message).toBe("openai/m: no answer: Connection error.: fetch failed: connect ECONNREFUSED 127.0.0.1:1");
  expect(toProviderError(new Error("x".repeat(5000)), context).message.length).toBeLessThan(350);
});
