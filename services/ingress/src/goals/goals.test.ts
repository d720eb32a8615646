import type { ArtifactResource, GoalResource, GoalSummary, StepResource } from "@outerloop/core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openHouse, type House } from "../testing/house.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house[Symbol.asyncDispose]());

const query = (sql: string, values: unknown[] = []) => house.parts.database.pool.query(sql, values);
const goalOf = async (response: Response) => (await response.json()) as GoalResource;

async function allPages<Item>(path: string): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  do {
    const response: Response = await house.call(cursor === null ? path : `${path}&cursor=${cursor}`);
    const page = (await response.json()) as { items: Item[]; next_cursor: string | null };
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return items;
}

describe("posting", () => {
  test("a goal is accepted as queued, with where to find it, and its planner's job is on the queue", async () => {
    const response = await house.call("/v1/goals", {
      body: {
        text: "  Compare  ",
        session: "s1",
        budget: { steps: 7, wall_ms: 60_000, tokens: 1000, usd: 0.25 },
        planning: { every_n: 3 },
        priority: 5,
        labels: { team: "a" },
        attachments: [
          { path: "notes/a.md", text: "ä" },
          { path: "b.bin", base64: "AAEC" },
        ],
      },
    });
    const goal = await goalOf(response);
    expect([response.status, response.headers.get("location")]).toEqual([202, `/v1/goals/${goal.id}`]);
    expect(goal).toMatchObject({
      status: "queued",
      text: "Compare",
      session: "s1",
      planning: { every_n: 3 },
      priority: 5,
      labels: { team: "a" },
      budget: { steps: 7, wall_ms: 60_000, tokens: 1000, usd: 0.25 },
      usage: { steps: 0, tokens: 0, usd: 0 },
      tasks: [],
    });
    expect(await goalOf(await house.call(`/v1/goals/${goal.id}`))).toEqual(goal);
    expect(await goalOf(await house.call(`/v1/goals/${goal.id.slice(0, 10)}`))).toEqual(goal);
    await expect.poll(() => house.parts.queue.queues.plan.getJobState(`${goal.id}-p-1`)).toBe("waiting");
  });

  test("a form with files is the same as JSON with attachments", async () => {
    const form = new FormData();
    form.set("goal", JSON.stringify({ text: "Form", attachments: [{ path: "c.txt", text: "c" }] }));
    form.append("files", new File(["# A"], "docs/a.md"));
    form.append("files", new File([new Uint8Array([0, 255])], "b.bin"));
    const goal = await goalOf(await house.call("/v1/goals", { body: form }));
    const { items } = (await (await house.call(`/v1/goals/${goal.id}/artifacts`)).json()) as {
      items: ArtifactResource[];
    };
    expect(items.map((file) => [file.path, file.size, file.origin])).toEqual([
      ["b.bin", 2, "attached"],
      ["c.txt", 1, "attached"],
      ["docs/a.md", 3, "attached"],
    ]);
  });

  test("a queue that is away does not fail the request", async () => {
    const add = vi.spyOn(house.parts.queue.queues.plan, "addBulk").mockReturnValue(new Promise(() => undefined));
    expect((await house.call("/v1/goals", { body: { text: "later" } })).status).toBe(202);
    expect(add).toHaveBeenCalledOnce();
  });
});

describe("Idempotency-Key", () => {
  const post = (key: string, body: unknown) => house.call("/v1/goals", { headers: { "idempotency-key": key }, body });

  test("the same request again has the same answer and makes nothing", async () => {
    const first = await goalOf(
      await post("a", { text: "once", labels: { x: "1", y: "2" }, attachments: [{ path: "f", text: "abc" }] }),
    );
    const again = await post("a", {
      attachments: [{ base64: "YWJj", path: "f" }],
      labels: { y: "2", x: "1" },
      text: "once",
    });
    expect(again.status).toBe(202);
    expect(await goalOf(again)).toEqual(first);
    expect((await query("SELECT id FROM goals WHERE text = 'once'")).rows).toHaveLength(1);
  });

  test("another request with the key is a conflict that names the first goal", async () => {
    const first = await goalOf(await post("b", { text: "one" }));
    const other = await post("b", { text: "two" });
    expect(other.status).toBe(409);
    expect(await other.text()).toContain(first.id);
    expect((await query("SELECT id FROM goals WHERE text = 'two'")).rows).toHaveLength(0);
  });

  test("of requests at once with one key, one makes the goal and all name it", async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => post("c", { text: "race" })));
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([202]));
    expect(new Set(await Promise.all(answers.map(async (answer) => (await goalOf(answer)).id))).size).toBe(1);
    expect((await query("SELECT id FROM goals WHERE text = 'race'")).rows).toHaveLength(1);
  });
});

describe("lists", () => {
  test("pages lose and repeat nothing, though goals share a millisecond", async () => {
    const ids = await Promise.all(Array.from({ length: 23 }, () => house.post({ session: "paged" })));
    await query(
      "UPDATE goals SET created_at = '2026-01-01 00:00:00.123'::timestamptz + make_interval(secs => 0.000001 * (hashtext(id) % 400)) WHERE session_id = 'paged'",
    );
    for (const limit of [1, 4, 22, 23, 100]) {
      const found = await allPages<GoalSummary>(`/v1/goals?session=paged&limit=${limit}`);
      expect(found.map((goal) => goal.id).toSorted()).toEqual(ids.toSorted());
    }
  });

  test("a goal that comes meanwhile changes nothing on later pages", async () => {
    for (let n = 0; n < 4; n++) await house.post({ session: "moving", text: String(n) });
    const first = (await (await house.call("/v1/goals?session=moving&limit=2")).json()) as {
      items: GoalSummary[];
      next_cursor: string;
    };
    await house.post({ session: "moving", text: "new" });
    const second = (await (
      await house.call(`/v1/goals?session=moving&limit=2&cursor=${first.next_cursor}`)
    ).json()) as { items: GoalSummary[] };
    expect([...first.items, ...second.items].map((goal) => goal.text)).toEqual(["3", "2", "1", "0"]);
  });

  test("a status filters", async () => {
    const id = await house.post({ session: "filtered" });
    await house.post({ session: "filtered" });
    await house.call(`/v1/goals/${id}/cancel`, { method: "POST" });
    expect((await allPages<GoalSummary>("/v1/goals?session=filtered&status=cancelled")).map((goal) => goal.id)).toEqual(
      [id],
    );
  });

  test("a beginning that two goals share is not found, with what to do", async () => {
    const response = await house.call("/v1/goals/g_");
    expect(response.status).toBe(404);
    const id = await house.post();
    await query(
      "INSERT INTO goals (id, tenant_id, goal_day, text, budget_steps, budget_wall_ms, budget_tokens, deadline_at) VALUES ($1, 'default', current_date, 'x', 1, 1, 1, now())",
      [`${id.slice(0, -1)}${id.endsWith("0") ? "1" : "0"}`],
    );
    expect(await (await house.call(`/v1/goals/${id.slice(0, -1)}`)).text()).toMatch(/give more of its id/);
  });
});

describe("the journal", () => {
  test("is read in order, page by page, each step by its id", async () => {
    const id = await house.post();
    await query(
      `INSERT INTO steps (retention, goal_day, tenant_id, goal_id, subject_id, attempt, seq, phase, stage, kind, name, number, input, output, ok, fence, write_id, cost_micro_usd)
       SELECT retention, goal_day, tenant_id, id, id, 1, n, 'result', 'plan', 'tool', 'read_file', n, '{"path":"a"}', '{"callId":"c","text":"t"}', true, 1, 'w', 1500 FROM goals, generate_series(1, 7) n WHERE id = $1`,
      [id],
    );
    const steps = await allPages<StepResource>(`/v1/goals/${id}/steps?limit=3`);
    expect(steps.map((step) => step.number)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(steps[2]).toMatchObject({
      id: `${id}.1.3`,
      task: null,
      kind: "tool",
      name: "read_file",
      ok: true,
      usage: { usd: 0.0015 },
    });
    expect(await (await house.call(`/v1/steps/${id}.1.3`)).json()).toEqual({ ...steps[2], request: null });
    const stranger = await house.addKey("admin", "other");
    expect((await house.call(`/v1/steps/${id}.1.3`, { key: stranger })).status).toBe(404);
  });

  test("is given as a recording to the goal's own tenant alone, with the files as they were attached", async () => {
    const id = await house.post({
      text: "Do it",
      planning: { every_n: 3 },
      attachments: [{ path: "a.bin", base64: "AAEC" }],
    });
    expect(await (await house.call(`/v1/goals/${id}/recording`)).json()).toEqual({
      version: 1,
      goal: {
        id,
        text: "Do it",
        status: "queued",
        planning: { every_n: 3 },
        attachments: [{ path: "a.bin", base64: "AAEC" }],
      },
      calls: [],
    });
    const stranger = await house.addKey("admin", "other");
    expect((await house.call(`/v1/goals/${id}/recording`, { key: stranger })).status).toBe(404);
    expect((await house.call("/v1/goals/g_0000000000000000/recording")).status).toBe(404);
  });
});

describe("files", () => {
  const files = [
    { path: "a.md", text: "# Ä" },
    { path: "x/page.html", text: "<script>alert(1)</script>" },
    { path: "x/pic.svg", text: "<svg onload='alert(1)'/>" },
    { path: "noextension", text: "x" },
    { path: 'we"ird; filename=evil.html', text: "x" },
    { path: "ünï 100%.txt", text: "x" },
    { path: "data.csv", text: "a,b" },
    { path: "run.js", text: "alert(1)" },
  ];
  let id: string;
  beforeAll(async () => {
    id = await house.post({ attachments: files });
  });
  const read = (path: string) =>
    house.call(`/v1/goals/${id}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`);

  test.each(files)(
    "$path comes back byte for byte, and nothing in it can run in our origin",
    async ({ path, text }) => {
      const response = await read(path);
      expect(response.status).toBe(200);
      expect(await response.text()).toBe(text);
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
      expect(response.headers.get("content-security-policy")).toMatch(/^sandbox/);
      expect(response.headers.get("content-type")).not.toMatch(/html|svg|xml|javascript/);
      expect(response.headers.get("set-cookie")).toBeNull();
    },
  );

  test.each([
    ["a.md", "text/markdown; charset=utf-8", "inline"],
    ["data.csv", "text/csv; charset=utf-8", "inline"],
    ["run.js", "text/plain; charset=utf-8", "inline"],
    ["x/page.html", "application/octet-stream", "attachment"],
    ["x/pic.svg", "application/octet-stream", "attachment"],
    ["noextension", "application/octet-stream", "attachment"],
  ])("%s is %s, %s", async (path, type, kind) => {
    const { headers } = await read(path);
    expect(headers.get("content-type")).toBe(type);
    expect(headers.get("content-disposition")).toMatch(new RegExp(`^${kind}; `));
  });

  test("a name that is not ASCII arrives whole", async () => {
    expect((await read("ünï 100%.txt")).headers.get("content-disposition")).toBe(
      "inline; filename=\"_n_ 100_.txt\"; filename*=UTF-8''%C3%BCn%C3%AF%20100%25.txt",
    );
  });
});

describe("steering", () => {
  const steer = (id: string, verb: string, body?: unknown) =>
    house.call(`/v1/goals/${id}/${verb}`, { method: "POST", body });

  test("pause, resume and cancel move the goal, and doing it twice changes nothing more", async () => {
    const id = await house.post();
    for (const [verb, status] of [
      ["pause", "paused"],
      ["pause", "paused"],
      ["resume", "queued"],
      ["resume", "queued"],
      ["cancel", "cancelled"],
      ["cancel", "cancelled"],
    ] as const) {
      const response = await steer(id, verb);
      expect([response.status, (await goalOf(response)).status]).toEqual([200, status]);
    }
    const { rows } = await query("SELECT type FROM events WHERE goal_id = $1 ORDER BY seq", [id]);
    expect(rows).toEqual(["goal.created", "goal.paused", "goal.resumed", "goal.cancelled"].map((type) => ({ type })));
  });

  test("an ended goal can't be moved", async () => {
    const id = await house.post();
    await steer(id, "cancel", { reason: "enough" });
    for (const verb of ["pause", "resume"]) expect((await steer(id, verb)).status).toBe(409);
    expect((await goalOf(await house.call(`/v1/goals/${id}`))).detail).toBe("enough");
  });

  test("a signal wakes what waits for its name, all of it or one task, and is sent once under one key", async () => {
    const id = await house.post();
    await query(
      `INSERT INTO tasks (id, tenant_id, goal_id, retention, goal_day, key, number, root_id, text, status) SELECT 't_wait' || n, tenant_id, id, retention, goal_day, 't' || n, n, 't_wait' || n, 'x', 'waiting' FROM goals, generate_series(1, 4) n WHERE id = $1`,
      [id],
    );
    await query(
      `INSERT INTO waits (id, tenant_id, goal_id, task_id, attempt, seq, kind, name, deadline_at, on_deadline) SELECT 'a_' || id, tenant_id, goal_id, id, 1, 2, 'signal', CASE key WHEN 't4' THEN 'stop' ELSE 'go' END, now() + interval '1 day', 'continue' FROM tasks WHERE goal_id = $1`,
      [id],
    );
    const statuses = async () => (await goalOf(await house.call(`/v1/goals/${id}`))).tasks.map((task) => task.status);
    expect((await steer(id, "signals", { name: "go", task: "t9" })).status).toBe(400);
    expect((await steer(id, "signals", { name: "go", payload: "x".repeat(70_000) })).status).toBe(400);
    expect((await steer(id, "signals", { name: "go", task: "t_wait2", payload: { any: ["thing"] } })).status).toBe(200);
    expect(await statuses()).toEqual(["waiting", "running", "waiting", "waiting"]);
    expect((await steer(id, "signals", { name: "go" })).status).toBe(200);
    expect(await statuses()).toEqual(["running", "running", "running", "waiting"]);
    const again = (payload: unknown) =>
      house.call(`/v1/goals/${id}/signals`, {
        method: "POST",
        body: { name: "more", payload },
        headers: { "idempotency-key": "k1" },
      });
    expect([(await again(1)).status, (await again(1)).status, (await again(2)).status]).toEqual([200, 200, 409]);
    const { rows } = await query("SELECT number::integer AS n, name FROM signals WHERE goal_id = $1 ORDER BY number", [
      id,
    ]);
    expect(rows).toEqual(["go", "go", "more"].map((name, index) => ({ n: index + 1, name })));
  });
});
