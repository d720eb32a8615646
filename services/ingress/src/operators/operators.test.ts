import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openHouse, type House } from "../testing/house.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house[Symbol.asyncDispose]());

const metric = async (line: string) =>
  (await (await house.call("/metrics")).text())
    .split("\n")
    .find((each) => each.startsWith(line))
    ?.slice(line.length + 1);

/** As an executor's process would leave them. */
async function addTasks(goalId: string, status: string, count: number): Promise<void> {
  await house.parts.database.pool.query(
    `INSERT INTO tasks (id, tenant_id, goal_id, retention, goal_day, key, number, root_id, text, status, due_at)
     SELECT 't_' || id || $2 || n, tenant_id, id, retention, goal_day, $2 || n, n, 't_' || id || $2 || n, 'x', $2, now() - interval '1 minute' FROM goals, generate_series(1, $3) n WHERE id = $1`,
    [goalId, status, count],
  );
}

describe("metrics", () => {
  test("tell the backlog of Postgres and of the queue at each scrape", async () => {
    const ids = await Promise.all(Array.from({ length: 5 }, () => house.post()));
    await expect
      .poll(() => metric('outerloop_queue_jobs{queue="plan",state="waiting"}'), { timeout: 20_000 })
      .toBe("5");
    expect(await metric("outerloop_plans_wanted")).toBe("5");
    expect(await metric('outerloop_tasks{stage="execute",status="ready"}')).toBe("0");
    await house.parts.database.pool.query("UPDATE goals SET status = 'planning' WHERE id = $1", [ids[0]]);
    await house.parts.database.pool.query("UPDATE goals SET status = 'running' WHERE id = $1", [ids[0]]);
    await addTasks(ids[0]!, "ready", 3);
    await addTasks(ids[0]!, "reflecting", 2);
    expect(await metric('outerloop_tasks{stage="execute",status="ready"}')).toBe("3");
    expect(await metric('outerloop_tasks{stage="reflect",status="reflecting"}')).toBe("2");
    for (const stage of ["execute", "reflect"])
      expect(Number(await metric(`outerloop_oldest_ready_task_seconds{stage="${stage}"}`))).toBeGreaterThanOrEqual(60);
    expect(Number(await metric('outerloop_oldest_ready_task_seconds{stage="plan"}'))).toBeGreaterThan(0);
    await house.call(`/v1/goals/${ids[0]}/cancel`, { method: "POST" });
    expect(await metric('outerloop_tasks{stage="execute",status="ready"}')).toBe("0");
    for (const stage of ["execute", "reflect"])
      expect(await metric(`outerloop_oldest_ready_task_seconds{stage="${stage}"}`)).toBe("0");
  });

  test("tell what each stage has to do: what is ready or in work, and nothing that waits", async () => {
    const load = async () =>
      Promise.all(
        ["plan", "execute", "reflect"].map(async (stage) => Number(await metric(`outerloop_load{stage="${stage}"}`))),
      );
    const query = (text: string, ...values: unknown[]) => house.parts.database.pool.query(text, values);
    const [plans, ...others] = await load();
    expect(others).toEqual([0, 0]);
    const id = await house.post();
    expect(await load()).toEqual([plans! + 1, 0, 0]);
    await query("UPDATE goals SET status = 'planning', plan_wanted = 0, lease_id = 'l_1' WHERE id = $1", id);
    expect(await load(), "a goal in the hands of a planner").toEqual([plans! + 1, 0, 0]);
    await query("UPDATE goals SET status = 'running', lease_id = NULL WHERE id = $1", id);
    expect(await load(), "a goal that needs no plan").toEqual([plans, 0, 0]);

    await addTasks(id, "ready", 4);
    await addTasks(id, "running", 3);
    await addTasks(id, "reflecting", 2);
    await addTasks(id, "waiting", 5);
    await addTasks(id, "pending", 6);
    expect(await load()).toEqual([plans, 7, 2]);
    await query(
      "UPDATE tasks SET due_at = now() + interval '1 hour' WHERE goal_id = $1 AND key IN ('ready1', 'reflecting1')",
      id,
    );
    expect(await load(), "what is due later").toEqual([plans, 6, 1]);
    await query("UPDATE tasks SET dispatched_at = now() WHERE goal_id = $1 AND key IN ('ready2', 'running2')", id);
    await query(
      "UPDATE tasks SET lease_id = 'l_1', due_at = now() + interval '1 hour' WHERE goal_id = $1 AND key = 'running2'",
      id,
    );
    expect(await load(), "what lies on its queue, and what is in work").toEqual([plans, 6, 1]);
    await query("UPDATE goals SET status = 'paused', paused_from = 'running' WHERE id = $1", id);
    expect(await load(), "a paused goal").toEqual([plans, 0, 0]);
    await expect(query("SELECT outerloop_load('dream')")).rejects.toThrow(/dream is no stage/);
  });

  test("of a stage's work may be asked in SQL only by who was allowed to", async () => {
    const { rows } = await house.parts.database.pool.query(
      "SELECT has_function_privilege('outerloop_api', 'outerloop_load(text)', 'EXECUTE') AS may",
    );
    expect(rows).toEqual([{ may: false }]);
  });

  test("tell who is there to work", async () => {
    for (const [id, service, expires] of [
      ["l_a", "executor", "1 minute"],
      ["l_b", "executor", "1 minute"],
      ["l_c", "executor", "-1 second"],
      ["l_d", "embedded", "1 minute"],
    ])
      await house.parts.database.pool.query(
        "INSERT INTO leases (id, service, host, pid, expires_at) VALUES ($1, $2, 'h', 1, clock_timestamp() + $3::interval)",
        [id, service, expires],
      );
    expect(await metric('outerloop_workers{service="executor"}')).toBe("3");
    expect(await metric('outerloop_workers{service="planner"}')).toBe("1");
  });

  test("are told also while the queue is away, and say that it is", async () => {
    vi.spyOn(house.parts.queue.queues.plan, "getJobCounts").mockRejectedValue(new Error("away"));
    expect(await metric('outerloop_up{part="queue"}')).toBe("0");
    expect(await metric('outerloop_up{part="postgres"}')).toBe("1");
    expect(await metric("outerloop_plans_wanted")).toBeDefined();
  });

  test("are in Prometheus' text format: each metric is declared once", async () => {
    const response = await house.call("/metrics");
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const lines = (await response.text()).split("\n");
    const declared = lines.filter((line) => line.startsWith("# TYPE ")).map((line) => line.split(" ")[2]);
    expect(new Set(declared).size).toBe(declared.length);
    for (const line of lines.filter((each) => each !== "" && !each.startsWith("#")))
      expect(line).toMatch(/^[a-z_]+(\{[^}]*\})? [\d.e+-]+$/);
  });
});

describe("Bull Board", () => {
  interface Board {
    readonly queues: readonly {
      readonly name: string;
      readonly readOnlyMode: boolean;
      readonly counts: Readonly<Record<string, number>>;
      readonly jobs: readonly { readonly failedReason?: string }[];
    }[];
  }
  const board = async (key?: string, query = "") =>
    (await (await house.call(`/queues/api/queues${query}`, key === undefined ? {} : { key })).json()) as Board;

  test("shows the three queues with the backlog that the metrics tell", async () => {
    await house.post();
    await expect
      .poll(async () => (await board()).queues.find((queue) => queue.name === "plan")?.counts["waiting"])
      .toBe(Number(await metric('outerloop_queue_jobs{queue="plan",state="waiting"}')));
    expect((await board()).queues.map((queue) => queue.name)).toEqual(["plan", "execute", "reflect"]);
  });

  test("shows a failed job with its reason, as the metrics count it", async () => {
    const worker = house.parts.queue.createWorker("execute");
    await house.parts.queue.queues.execute.add("execute", { goal: "g_1" as never, tasks: [] }, { jobId: "g_1-1-1" });
    const job = await worker.getNextJob("token");
    await job!.moveToFailed(new Error("the tool broke"), "token", false);
    await worker.close();
    const shown = (await board(undefined, "?activeQueue=execute&status=failed")).queues.find(
      (queue) => queue.name === "execute",
    )!;
    expect([shown.counts["failed"], shown.jobs[0]?.failedReason]).toEqual([1, "the tool broke"]);
    expect(await metric('outerloop_queue_jobs{queue="execute",state="failed"}')).toBe("1");
  });

  test("is read only for a viewer", async () => {
    const viewer = await house.addKey("viewer");
    expect((await board(viewer)).queues.every((queue) => queue.readOnlyMode)).toBe(true);
    expect((await board()).queues.some((queue) => queue.readOnlyMode)).toBe(false);
    expect((await house.call("/queues/api/queues/plan/pause", { method: "PUT", key: viewer })).status).toBe(403);
    expect(await house.parts.queue.queues.plan.isPaused()).toBe(false);
  });

  test("an operator's buttons work", async () => {
    expect((await house.call("/queues/api/queues/plan/pause", { method: "PUT" })).status).toBe(200);
    expect(await house.parts.queue.queues.plan.isPaused()).toBe(true);
    await house.call("/queues/api/queues/plan/resume", { method: "PUT" });
  });

  test("its page runs only its own files and none from elsewhere", async () => {
    const page = await house.call("/queues", { headers: { accept: "text/html" } });
    expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'self'/);
    const html = await page.text();
    const [script] = /static\/js\/main[^"]+/.exec(html) ?? [];
    expect((await house.call(`/queues/${script}`)).headers.get("content-type")).toMatch(/javascript/);
    expect((await house.call("/queues/static/../../package.json")).status).toBe(404);
  });
});

describe("health", () => {
  test("says whose server this is", async () => {
    expect(await (await house.call("/healthz", { key: null })).json()).toEqual({
      status: "ok",
      instance: "test",
      version: "0.1.0",
    });
  });

  test("a loop that stands still is named, and the process counts as dead", async () => {
    vi.spyOn(house.parts.progress, "standing").mockResolvedValueOnce([{ loop: "reconciler", ms: 180_000 }]);
    const response = await house.call("/healthz", { key: null });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      status: "stalled",
      standing: [{ loop: "reconciler", ms: 180_000 }],
      instance: "test",
    });
  });

  test("goals are taken without the queue, so it is ready; it says which part is away, not why", async () => {
    expect(await (await house.call("/readyz")).json()).toMatchObject({ status: "ready" });
    const ping = vi.spyOn(house.parts.queue, "ping").mockRejectedValue(new Error("connect ECONNREFUSED 10.0.0.7"));
    const response = await house.call("/readyz", { key: null });
    ping.mockRestore();
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({
      status: "degraded",
      parts: { postgres: { state: "up" }, queue: { state: "away" } },
    });
    expect(text).not.toContain("10.0.0.7");
  });

  test("without Postgres it is not ready", async () => {
    const connect = vi.spyOn(house.parts.database.pool, "connect").mockRejectedValue(new Error("away") as never);
    const response = await house.call("/readyz", { key: null });
    connect.mockRestore();
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ status: "not_ready", parts: { postgres: { state: "away" } } });
  });

  test("once it stops it takes no new work", async () => {
    await using stopping = await openHouse();
    stopping.app.stop();
    const response = await stopping.call("/readyz", { key: null });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ status: "stopping" });
  });
});
