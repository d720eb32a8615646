/** What each service shows of itself on its probe port, while goals run and while Redis is away. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses, isReady } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { startWire, type Wire } from "../support/wire.ts";

describeWithServers("probes", () => {
  let deployment: Deployment;
  let redis: Wire;
  beforeAll(async () => {
    deployment = await deploy({
      size: "redis",
      env: { OUTERLOOP_PROBE_PORT: "0" },
      through: async ({ redisUrl }) => {
        redis = await startWire(redisUrl);
        return { REDIS_URL: redis.url };
      },
    });
  }, 60_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await redis?.cut();
  });

  async function probe(name: string, path: string): Promise<Response> {
    const { probePort } = await deployment.processes.get(name)!.until(isReady, "it was ready");
    return fetch(`http://127.0.0.1:${String(probePort)}${path}`);
  }
  const statusOf = async (name: string, path: string) => (await probe(name, path)).status;
  const names = () => [...deployment.processes.keys()];

  test("say of every service that it lives and is ready, and what its process uses", async () => {
    expect(names().toSorted()).toEqual(["executor-1", "ingress", "planner", "reflector"]);
    for (const name of names()) {
      expect(await (await probe(name, "/healthz")).json()).toEqual({ status: "ok" });
      expect(await (await probe(name, "/readyz")).json()).toMatchObject({
        status: "ready",
        parts: { postgres: { state: "up" }, queue: { state: "up" } },
      });
      expect(await (await probe(name, "/metrics")).text()).toMatch(/^process_resident_memory_bytes \d/m);
      expect(await statusOf(name, "/v1/goals")).toBe(404);
    }
  });

  test("tell a scaler what each stage has to do, as the metrics of ingress do", async () => {
    deployment.processes.get("planner")!.kill("SIGTERM");
    expect(await deployment.processes.get("planner")!.exited).toBe(0);
    const { id } = await deployment.client.goals.create({ text: "waits for a planner" });
    for (const name of ["ingress", "executor-1"])
      expect(await (await probe(name, "/scaling")).json()).toEqual({ plan: 1, execute: 0, reflect: 0 });
    const metrics = await (await probe("ingress", "/metrics")).text();
    expect(metrics).toMatch(/^outerloop_load\{stage="plan"\} 1$/m);
    expect(metrics).toMatch(/^outerloop_workers\{service="planner"\} 0$/m);
    expect(metrics).toMatch(/^outerloop_workers\{service="executor"\} 1$/m);
    await deployment.start("planner");
    for await (const _ of deployment.client.goals.watch(id));
    expect(await (await probe("ingress", "/scaling")).json()).toEqual({ plan: 0, execute: 0, reflect: 0 });
  });

  test("while Redis is away all live; ingress takes goals, workers say that they can do nothing", async () => {
    await redis.cut();
    await expect.poll(() => statusOf("executor-1", "/readyz"), { timeout: 20_000 }).toBe(503);
    expect(await (await probe("executor-1", "/readyz")).json()).toMatchObject({ status: "not_ready" });
    const ingress = await probe("ingress", "/readyz");
    expect(ingress.status).toBe(200);
    expect(await ingress.json()).toMatchObject({ status: "degraded" });
    for (const name of names()) expect(await statusOf(name, "/healthz"), name).toBe(200);
    const { id } = await deployment.client.goals.create({ text: "taken while Redis is away" });
    await redis.mend();
    await expect.poll(() => statusOf("executor-1", "/readyz"), { timeout: 20_000 }).toBe(200);
    for await (const _ of deployment.client.goals.watch(id));
  }, 60_000);
});
