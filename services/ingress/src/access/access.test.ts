import type { GoalResource, Problem } from "@outerloop/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHouse, type House } from "../testing/house.ts";

let house: House;
let goalId: string;
let viewer: string;
let operator: string;
let stranger: string;

beforeAll(async () => {
  house = await openHouse();
  goalId = await house.post({ session: "s", attachments: [{ path: "secret.md", text: "private" }] });
  viewer = await house.addKey("viewer");
  operator = await house.addKey("operator");
  stranger = await house.addKey("admin", "other");
});
afterAll(() => house[Symbol.asyncDispose]());

const guarded = [
  "/v1/goals",
  "/v1/goals/g_1",
  "/v1/goals/g_1/events",
  "/v1/goals/g_1/steps",
  "/v1/goals/g_1/artifacts",
  "/v1/steps/t_1.1.1",
  "/metrics",
  "/queues",
  "/queues/api/queues",
  "/queues/static/js/x.js",
];

describe("keys", () => {
  test.each(guarded)("%s without a key is 401 and says how to bring one", async (path) => {
    const response = await house.call(path, { key: null });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
    expect(((await response.json()) as Problem).code).toBe("unauthorized");
  });

  test.each(["wrong", "", "a b", `ol_${"x".repeat(5000)}`])("a key that is not known (%#) is 401", async (key) => {
    expect((await house.call("/v1/goals", { key: null, headers: { authorization: `Bearer ${key}` } })).status).toBe(
      401,
    );
  });

  test("another scheme than Bearer is 401", async () => {
    expect((await house.call("/v1/goals", { key: null, headers: { authorization: "Basic b2w6" } })).status).toBe(401);
  });

  test("nobody without a key learns by a body's problems", async () => {
    expect((await house.call("/v1/goals", { key: null, body: { nonsense: 1 } })).status).toBe(401);
  });

  test.each(["/healthz", "/readyz", "/openapi.json", "/", "/login"])("%s needs no key", async (path) => {
    expect((await house.call(path, { key: null })).status).toBe(200);
  });

  test("a revoked key stops working within seconds", async () => {
    const key = await house.addKey("admin");
    await house.parts.database.pool.query(
      "UPDATE api_keys SET revoked_at = now() WHERE id = (SELECT id FROM api_keys ORDER BY created_at DESC LIMIT 1)",
    );
    expect((await house.call("/v1/goals", { key })).status).toBe(401);
  });

  test("no key reaches the log", async () => {
    await house.call("/v1/goals?session=x", { key: "ol_never_logged" });
    expect(JSON.stringify(house.lines)).not.toMatch(/ol_/);
  });
});

describe("roles", () => {
  test("a viewer reads", async () => {
    expect((await house.call(`/v1/goals/${goalId}`, { key: viewer })).status).toBe(200);
    expect((await house.call("/metrics", { key: viewer })).status).toBe(200);
  });

  test.each([
    "/v1/goals",
    "/v1/goals/g_1/cancel",
    "/v1/goals/g_1/pause",
    "/v1/goals/g_1/resume",
    "/v1/goals/g_1/signals",
    "/queues/api/queues/plan/pause",
  ])("a viewer who posts to %s is told that the role is too small", async (path) => {
    const response = await house.call(path, {
      key: viewer,
      method: path.startsWith("/queues") ? "PUT" : "POST",
      body: { text: "x" },
    });
    expect(response.status).toBe(403);
    expect(await response.text()).toMatch(/role operator/);
  });

  test("an operator posts and steers", async () => {
    const posted = await house.call("/v1/goals", { key: operator, body: { text: "x" } });
    expect(posted.status).toBe(202);
    const { id } = (await posted.json()) as GoalResource;
    expect((await house.call(`/v1/goals/${id}/cancel`, { key: operator, method: "POST" })).status).toBe(200);
  });
});

describe("tenants", () => {
  test.each(["", "/events", "/steps", "/artifacts", "/artifacts/secret.md"])(
    "a goal%s of another tenant is not found",
    async (rest) => {
      expect((await house.call(`/v1/goals/${goalId}${rest}`, { key: stranger })).status).toBe(404);
      expect((await house.call(`/v1/goals/${goalId.slice(0, 6)}${rest}`, { key: stranger })).status).toBe(404);
    },
  );

  test.each(["cancel", "pause", "resume"])("nobody can %s a goal of another tenant", async (verb) => {
    expect((await house.call(`/v1/goals/${goalId}/${verb}`, { key: stranger, method: "POST" })).status).toBe(404);
    expect(((await (await house.call(`/v1/goals/${goalId}`)).json()) as GoalResource).status).toBe("queued");
  });

  test("a list holds only one's own, a session's name or not", async () => {
    for (const path of ["/v1/goals", "/v1/goals?session=s"])
      expect(await (await house.call(path, { key: stranger })).json()).toEqual({ items: [], next_cursor: null });
  });

  test("two tenants use the same session and the same idempotency key without meeting", async () => {
    const headers = { "idempotency-key": "shared" };
    const mine = (await (
      await house.call("/v1/goals", { headers, body: { text: "mine", session: "s" } })
    ).json()) as GoalResource;
    const theirs = await house.call("/v1/goals", { headers, key: stranger, body: { text: "theirs", session: "s" } });
    expect(theirs.status).toBe(202);
    expect(((await theirs.json()) as GoalResource).id).not.toBe(mine.id);
  });

  test("what shows all tenants at once is for the tenant that runs the installation", async () => {
    for (const path of ["/metrics", "/queues", "/queues/api/queues"])
      expect((await house.call(path, { key: stranger })).status).toBe(403);
  });
});

describe("sessions of browsers", () => {
  const own = { "sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded" };
  const signIn = async (key: string, headers: Record<string, string> = own, next = "/queues") =>
    house.call("/login", { key: null, method: "POST", headers, body: new URLSearchParams({ key, next }).toString() });
  const cookieOf = (response: Response) => response.headers.get("set-cookie")?.split(";")[0] ?? "";

  test("a page that needs a key sends a browser to sign in, and back", async () => {
    const asked = await house.call("/queues", { key: null, headers: { accept: "text/html" } });
    expect([asked.status, asked.headers.get("location")]).toEqual([303, "/login?next=%2Fqueues"]);
    const signedIn = await signIn(operator);
    expect([signedIn.status, signedIn.headers.get("location")]).toEqual([303, "/queues"]);
    const cookie = signedIn.headers.get("set-cookie")!;
    expect(cookie).toMatch(/; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/);
    expect(cookie).not.toContain(operator);
    const board = await house.call("/queues", {
      key: null,
      headers: { cookie: cookieOf(signedIn), accept: "text/html" },
    });
    expect(board.status).toBe(200);
    expect(await board.text()).not.toMatch(/https?:\/\//);
    expect((await house.call("/v1/goals", { key: null, headers: { cookie: cookieOf(signedIn) } })).status).toBe(200);
  });

  test("behind a proxy that ends TLS the cookie is Secure", async () => {
    expect((await signIn(operator, { ...own, "x-forwarded-proto": "https" })).headers.get("set-cookie")).toMatch(
      /; Secure$/,
    );
  });

  test("a wrong key gets a form and no cookie", async () => {
    const response = await signIn("wrong");
    expect([response.status, response.headers.get("set-cookie")]).toEqual([401, null]);
  });

  test.each(["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)", '/"><script>'])(
    "signing in never leads to %s",
    async (next) => {
      expect((await signIn(operator, own, next)).headers.get("location")).toBe("/");
      expect(await (await house.call(`/login?next=${encodeURIComponent(next)}`)).text()).not.toContain("evil");
    },
  );

  test.each([
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["another origin", { origin: "http://evil.test" }],
    ["a sibling", { "sec-fetch-site": "same-site" }],
    ["nowhere", {}],
  ])("a change asked for by cookie from %s is refused", async (_from, headers) => {
    const cookie = cookieOf(await signIn(operator));
    const response = await house.call("/v1/goals", {
      key: null,
      headers: { cookie, ...(headers as Record<string, string>) },
      body: { text: "forged" },
    });
    expect(response.status).toBe(403);
    expect(
      (await signIn(operator, { "content-type": own["content-type"], ...(headers as Record<string, string>) })).status,
    ).toBe(403);
  });

  test("a change asked for by cookie from our own page is made", async () => {
    const cookie = cookieOf(await signIn(operator));
    expect(
      (
        await house.call("/v1/goals", {
          key: null,
          headers: { cookie, origin: "http://test.local", host: "test.local" },
          body: { text: "own" },
        })
      ).status,
    ).toBe(202);
  });

  test("signing out clears the cookie", async () => {
    const response = await house.call("/logout", { key: null, method: "POST", headers: own });
    expect(response.headers.get("set-cookie")).toMatch(/^outerloop_session=; Path=\/; Max-Age=0/);
  });

  test.each(["outerloop_session=abc", `outerloop_session=${"A".repeat(200)}`, "other=1"])(
    "a cookie that we did not seal is no key: %s",
    async (cookie) => {
      expect((await house.call("/v1/goals", { key: null, headers: { cookie } })).status).toBe(401);
    },
  );
});
