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
     SELECT 't_' || $2 || n, tenant_id, id, retention, goal_day, $2 || n, n, 't_' || $2 || n, 'x', $2, now() - interval '1 minute' FROM goals, generate_series(1, $3) n WHERE id = $1`,
    [goalId, status, count],
  );
}

describe("metrics", () => {
  test("tell the backlog of Postgres and of the queue at each scrape", async () => {
    const ids = await Promise.all(Array.from({ length: 5 }, () => house.post()));
    await expect.poll(() => metric('outerloop_queue_jobs{queue="plan",state="waiting"}')).toBe("5");
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

  test("readiness names each part, and is 503 when one is away, without saying why to everybody", async () => {
    expect((await house.call("/readyz")).status).toBe(200);
    vi.spyOn(house.parts.queue, "ping").mockRejectedValue(new Error("connect ECONNREFUSED 10.0.0.7"));
    const response = await house.call("/readyz", { key: null });
    expect(response.status).toBe(503);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({
      status: "not_ready",
      parts: { postgres: { state: "up" }, queue: { state: "away" } },
    });
    expect(text).not.toContain("10.0.0.7");
    expect((await house.call("/healthz")).status).toBe(200);
  });
});
