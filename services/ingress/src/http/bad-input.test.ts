import { requestLimits, type Problem } from "@outerloop/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHouse, type CallOptions, type House } from "../testing/house.ts";

const maxBodyBytes = 3_000_000;
let house: House;
let goalId: string;
let before: unknown;

beforeAll(async () => {
  house = await openHouse({ maxBodyBytes });
  goalId = await house.post();
  before = await contents();
});
afterAll(() => house[Symbol.asyncDispose]());

/** Everything that a request could have left behind. */
async function contents(): Promise<unknown> {
  const tables = ["goals", "sessions", "artifacts", "events", "idempotency_keys", "tasks"];
  const rows = await Promise.all(
    tables.map((table) =>
      house.parts.database.pool.query(`SELECT to_jsonb(t) AS row FROM ${table} t ORDER BY 1::text`),
    ),
  );
  return rows.map((result) => result.rows);
}

const text = "Find out";
const json = (body: string) => ({ method: "POST", headers: { "content-type": "application/json" }, body });
const attach = (...attachments: unknown[]) => ({ body: { text, attachments } });

interface Case {
  readonly title: string;
  readonly path?: string;
  readonly options: CallOptions;
  readonly status: number;
  readonly field: string;
  readonly says: string | RegExp;
}

const cases: readonly Case[] = [
  { title: "no text", options: { body: {} }, status: 400, field: "text", says: "is required" },
  { title: "empty text", options: { body: { text: "" } }, status: 400, field: "text", says: "must not be empty" },
  { title: "blank text", options: { body: { text: " \n\t " } }, status: 400, field: "text", says: "must not be empty" },
  {
    title: "2 MB of text",
    options: { body: { text: "a".repeat(2_000_000) } },
    status: 400,
    field: "text",
    says: `at most ${requestLimits.maxTextChars} characters`,
  },
  {
    title: "a text that is a number",
    options: { body: { text: 7 } },
    status: 400,
    field: "text",
    says: "must be a string",
  },
  {
    title: "a text that is null",
    options: { body: { text: null } },
    status: 400,
    field: "text",
    says: "must be a string",
  },
  { title: "NUL in the text", options: { body: { text: "a\0b" } }, status: 400, field: "text", says: /NUL/ },
  {
    title: "half a surrogate pair in the text",
    options: json('{"text":"a\\ud800"}'),
    status: 400,
    field: "text",
    says: /well-formed/,
  },
  {
    title: "an unknown field",
    options: { body: { text, txet: 1 } },
    status: 400,
    field: "txet",
    says: "is not a known field",
  },
  {
    title: "an unknown field inside",
    options: { body: { text, budget: { step: 3 } } },
    status: 400,
    field: "budget.step",
    says: "is not a known field",
  },
  {
    title: "a budget of no steps",
    options: { body: { text, budget: { steps: 0 } } },
    status: 400,
    field: "budget.steps",
    says: "must be at least 1",
  },
  {
    title: "a budget of half a step",
    options: { body: { text, budget: { steps: 1.5 } } },
    status: 400,
    field: "budget.steps",
    says: "must be a whole number",
  },
  {
    title: "too large a budget",
    options: { body: { text, budget: { tokens: 1e15 } } },
    status: 400,
    field: "budget.tokens",
    says: "must be at most 10000000000",
  },
  {
    title: "a negative amount of money",
    options: { body: { text, budget: { usd: -1 } } },
    status: 400,
    field: "budget.usd",
    says: "must be at least 0",
  },
  {
    title: "a planning that there is not",
    options: { body: { text, planning: "weekly" } },
    status: 400,
    field: "planning",
    says: 'must be one of "adaptive", "every-step"',
  },
  {
    title: "a planning every 0 steps",
    options: { body: { text, planning: { every_n: 0 } } },
    status: 400,
    field: "planning.every_n",
    says: "must be at least 1",
  },
  {
    title: "a priority out of range",
    options: { body: { text, priority: 101 } },
    status: 400,
    field: "priority",
    says: "must be at most 100",
  },
  {
    title: "too long a session",
    options: { body: { text, session: "s".repeat(201) } },
    status: 400,
    field: "session",
    says: "at most 200 characters",
  },
  {
    title: "NUL in the session",
    options: { body: { text, session: "\0" } },
    status: 400,
    field: "session",
    says: /NUL/,
  },
  {
    title: "labels that are a list",
    options: { body: { text, labels: ["a"] } },
    status: 400,
    field: "labels",
    says: "must be an object",
  },
  {
    title: "a label that is a number",
    options: { body: { text, labels: { a: 1 } } },
    status: 400,
    field: "labels.a",
    says: "must be a string",
  },
  {
    title: "NUL in a label",
    options: { body: { text, labels: { a: "\0" } } },
    status: 400,
    field: "labels.a",
    says: /NUL/,
  },
  {
    title: "too many labels",
    options: { body: { text, labels: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`l${n}`, ""])) } },
    status: 400,
    field: "labels",
    says: "at most 50 entries",
  },
  {
    title: "a callback, which nobody would call",
    options: { body: { text, callback_url: "https://example.test/hook" } },
    status: 400,
    field: "callback_url",
    says: "is not called by this version; watch the events of the goal instead",
  },
  {
    title: "attachments that are no list",
    options: { body: { text, attachments: {} } },
    status: 400,
    field: "attachments",
    says: "must be a list",
  },
  {
    title: "an attachment without content",
    options: attach({ path: "a" }),
    status: 400,
    field: "attachments[0].text",
    says: "is required",
  },
  {
    title: "an attachment with two contents",
    options: attach({ path: "a", text: "", base64: "" }),
    status: 400,
    field: "attachments[0].base64",
    says: "is not a known field",
  },
  {
    title: "base64 that is none",
    options: attach({ path: "a", base64: "not base64!" }),
    status: 400,
    field: "attachments[0].base64",
    says: /must be base64/,
  },
  {
    title: "a path that climbs",
    options: attach({ path: "ok", text: "" }, { path: "../b", text: "" }),
    status: 400,
    field: "attachments[1].path",
    says: /relative path/,
  },
  {
    title: "an absolute path",
    options: attach({ path: "/etc/passwd", text: "" }),
    status: 400,
    field: "attachments[0].path",
    says: /relative path/,
  },
  {
    title: "NUL in a path",
    options: attach({ path: "a\0", text: "" }),
    status: 400,
    field: "attachments[0].path",
    says: /NUL/,
  },
  {
    title: "a line break in a path",
    options: attach({ path: "a\r\nb", text: "" }),
    status: 400,
    field: "attachments[0].path",
    says: "must not contain control characters",
  },
  {
    title: "a path twice",
    options: attach({ path: "a", text: "1" }, { path: "a", text: "2" }),
    status: 400,
    field: "attachments[1].path",
    says: "is given twice",
  },
  {
    title: "too many attachments",
    options: attach(
      ...Array.from({ length: requestLimits.maxAttachments + 1 }, (_, n) => ({ path: `f${n}`, text: "" })),
    ),
    status: 400,
    field: "attachments",
    says: `at most ${requestLimits.maxAttachments} entries`,
  },
  { title: "malformed JSON", options: json('{"text": "a"'), status: 400, field: "body", says: /is not valid JSON/ },
  { title: "an empty body", options: json(""), status: 400, field: "body", says: /is empty/ },
  { title: "a body that is a list", options: { body: [text] }, status: 400, field: "body", says: "must be an object" },
  { title: "a body that is null", options: json("null"), status: 400, field: "body", says: "must be an object" },
  {
    title: "a body that is not UTF-8",
    options: {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: new Uint8Array([0x22, 0xff, 0x22]),
    },
    status: 400,
    field: "body",
    says: "is not UTF-8",
  },
  {
    title: "a body too large",
    options: { body: { text, attachments: [{ path: "a", text: "a".repeat(maxBodyBytes) }] } },
    status: 413,
    field: "body",
    says: `at most ${maxBodyBytes} bytes (OUTERLOOP_MAX_BODY_BYTES)`,
  },
  {
    title: "an Idempotency-Key too long",
    options: { body: { text }, headers: { "idempotency-key": "k".repeat(256) } },
    status: 400,
    field: "idempotency-key",
    says: /1 to 255/,
  },
  { title: "a form without a goal", options: { body: form({}) }, status: 400, field: "goal", says: /is required/ },
  {
    title: "a form with a goal that is no JSON",
    options: { body: form({ goal: "{" }) },
    status: 400,
    field: "goal",
    says: /is not valid JSON/,
  },
  {
    title: "a form with an unknown field",
    options: { body: form({ goal: "{}", note: "x" }) },
    status: 400,
    field: "note",
    says: /is not a known field/,
  },
  {
    title: "a form that is none",
    options: { method: "POST", headers: { "content-type": "multipart/form-data; boundary=x" }, body: "nothing" },
    status: 400,
    field: "body",
    says: "is not valid multipart/form-data",
  },
  {
    title: "a limit that is no number",
    path: "/v1/goals?limit=many",
    options: {},
    status: 400,
    field: "limit",
    says: "must be a number",
  },
  {
    title: "too large a limit",
    path: "/v1/goals?limit=101",
    options: {},
    status: 400,
    field: "limit",
    says: "must be at most 100",
  },
  {
    title: "a limit twice",
    path: "/v1/goals?limit=1&limit=2",
    options: {},
    status: 400,
    field: "limit",
    says: "may be given once",
  },
  {
    title: "an unknown parameter",
    path: "/v1/goals?stat=queued",
    options: {},
    status: 400,
    field: "stat",
    says: "is not a known field",
  },
  {
    title: "a status that there is not",
    path: "/v1/goals?status=asleep",
    options: {},
    status: 400,
    field: "status",
    says: /must be one of "queued"/,
  },
  { title: "NUL in a filter", path: "/v1/goals?session=%00", options: {}, status: 400, field: "session", says: /NUL/ },
  {
    title: "a made-up cursor",
    path: "/v1/goals?cursor=abc",
    options: {},
    status: 400,
    field: "cursor",
    says: /next_cursor/,
  },
  {
    title: "a cursor with SQL in it",
    path: `/v1/goals?cursor=${Buffer.from('["now()","g_0000000000000000"]').toString("base64url")}`,
    options: {},
    status: 400,
    field: "cursor",
    says: /next_cursor/,
  },
];

function form(fields: Readonly<Record<string, string>>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  return data;
}

describe("bad input is a problem that names field and limit, and nothing is written", () => {
  test.each(cases)("$title", async ({ path = "/v1/goals", options, status, field, says }) => {
    const response = await house.call(path, options);
    const problem = (await response.json()) as Problem;
    expect([response.status, response.headers.get("content-type")]).toEqual([status, "application/problem+json"]);
    expect(problem).toMatchObject({ status, detail: expect.stringContaining(" "), errors: expect.any(Array) });
    const words = typeof says === "string" ? new RegExp(`^${RegExp.escape(says)}$`) : says;
    expect(problem.errors?.[0]).toEqual({ field, message: expect.stringMatching(words) });
    expect(await contents()).toEqual(before);
  });

  test.each([
    [
      "a wrong content type",
      "/v1/goals",
      { method: "POST", headers: { "content-type": "text/plain" }, body: '{"text":"a"}' },
      415,
    ],
    ["no content type", "/v1/goals", { method: "POST", headers: { "content-type": "" }, body: '{"text":"a"}' }, 415],
    ["an unknown route", "/v1/gaols", {}, 404],
    ["an unknown goal", "/v1/goals/g_zzzz", {}, 404],
    ["an id that is none", "/v1/goals/'; DROP TABLE goals", {}, 404],
    ["an unknown full id", "/v1/goals/g_0000000000000000", {}, 404],
    ["cancelling an unknown goal", "/v1/goals/g_0000000000000000/cancel", { method: "POST" }, 404],
    ["events of an unknown goal", "/v1/goals/g_0000000000000000/events", {}, 404],
    ["an unknown step", "/v1/steps/t_0000000000000000.1.1", {}, 404],
    ["a step id that is none", "/v1/steps/1", {}, 404],
    ["a method that there is not", "/v1/goals", { method: "DELETE" }, 405],
  ] as const)("%s is refused by status", async (_title, path, options, status) => {
    const response = await house.call(path, options as CallOptions);
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await contents()).toEqual(before);
  });

  test.each([
    ["a file that there is not", "artifacts/none.md", {}, 404],
    ["a file's path with NUL", "artifacts/%00", {}, 404],
    ["a malformed Last-Event-ID", "events", { headers: { "last-event-id": "x" } }, 400],
    ["a Last-Event-ID above the newest", "events?after=99", {}, 400],
    ["a cancel with an unknown field", "cancel", { body: { why: "x" } }, 400],
    ["a signal to a task that there is not", "signals", { body: { name: "go", task: "t9" } }, 400],
    ["a signal without a name", "signals", { body: {} }, 400],
  ] as const)("%s is refused and leaves the goal as it was", async (_title, rest, options, status) => {
    const response = await house.call(`/v1/goals/${goalId}/${rest}`, options as CallOptions);
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await contents()).toEqual(before);
  });

  test("a body is not read beyond the limit, whatever its sender says of its length", async () => {
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536).fill(0x20));
      },
    });
    const response = await house.call("/v1/goals", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: endless,
    });
    expect(response.status).toBe(413);
    expect(sent).toBeLessThan(maxBodyBytes + 4 * 65_536);
  });

  test("a method that is not allowed names those that are", async () => {
    expect((await house.call("/v1/goals", { method: "PUT" })).headers.get("allow")).toBe("POST, GET, HEAD");
  });

  test("a fault is told by its request id, which is in the log, without its inside", async () => {
    const pool = house.parts.database.pool;
    await pool.query("ALTER TABLE tasks RENAME TO tasks_gone");
    try {
      const response = await house.call(`/v1/goals/${goalId}`);
      const body = await response.text();
      expect(response.status).toBe(500);
      expect(body).not.toMatch(/tasks|relation|select/i);
      const requestId = response.headers.get("x-request-id");
      expect(body).toContain(requestId);
      expect(house.lines).toContainEqual(
        expect.objectContaining({ event: "request_failed", requestId, error: expect.stringContaining("tasks") }),
      );
    } finally {
      await pool.query("ALTER TABLE tasks_gone RENAME TO tasks");
    }
  });
});
