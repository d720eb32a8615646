import { expect, test } from "vitest";
import { createSessionCookies, sessionMs } from "./session-cookie.ts";

const request = (cookie: string) => new Request("http://x/", { headers: { cookie: cookie.split(";")[0]! } });

test("a session ends", () => {
  let now = 0;
  const cookies = createSessionCookies("secret", () => now);
  const cookie = cookies.issue("ol_key", false);
  expect(cookies.open(request(cookie))).toBe("ol_key");
  now = sessionMs + 1;
  expect(cookies.open(request(cookie))).toBeUndefined();
});

test("another process with the same secret opens it, one with another does not", () => {
  const clock = () => 0;
  const cookie = createSessionCookies("secret", clock).issue("ol_key", false);
  expect(createSessionCookies("secret", clock).open(request(cookie))).toBe("ol_key");
  expect(createSessionCookies("other", clock).open(request(cookie))).toBeUndefined();
  expect(createSessionCookies(undefined, clock).open(request(cookie))).toBeUndefined();
});

test("a changed cookie is worthless", () => {
  const cookies = createSessionCookies("secret", () => 0);
  const [name, value] = cookies.issue("ol_key", false).split(";")[0]!.split("=") as [string, string];
  const bytes = Buffer.from(value, "base64url");
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    expect(cookies.open(request(`${name}=${changed.toString("base64url")}`))).toBeUndefined();
  }
});
