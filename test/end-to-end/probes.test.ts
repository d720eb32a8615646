/** What each service shows of itself on its probe port, while goals run and while Redis is away. */
import { createClient, type Client } from "@outerloop/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses, isReady } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { startWire, type Wire } from "../support/wire.ts";

async function watchToTheEnd(client: Client, id: string): Promise<string | undefined> {
  let last: string | undefined;
  for await (const event of client.goals.watch(id)) last = event.type;
  return last;
}

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
    // One look serves all who ask within a second.
    const scaling = async (name: string) => (await probe(name, "/scaling")).json();
    const metrics = async () => (await probe("ingress", "/metrics")).text();
    for (const name of ["ingress", "executor-1"])
      await expect.poll(() => scaling(name)).toEqual({ plan: 1, execute: 0, reflect: 0 });
    await expect.poll(metrics, { timeout: 5000 }).toMatch(/^outerloop_load\{stage="plan"\} 1$/m);
    expect(await metrics()).toMatch(/^outerloop_workers\{service="planner"\} 0$/m);
    expect(await metrics()).toMatch(/^outerloop_workers\{service="executor"\} 1$/m);
    await deployment.start("planner");
    for await (const _ of deployment.client.goals.watch(id));
    await expect.poll(() => scaling("ingress"), { timeout: 5000 }).toEqual({ plan: 0, execute: 0, reflect: 0 });
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

    // An ingress that starts now, as when its node was drained, takes goals too.
    const late = await deployment.start("ingress", "ingress-late");
    const { url } = await late.until(isReady, "it was ready");
    const client = createClient({ baseUrl: String(url), apiKey: deployment.apiKey });
    const taken = await client.goals.create({ text: "taken by who started while Redis was away" });
    expect(await (await probe("ingress-late", "/readyz")).json()).toMatchObject({ status: "degraded" });
    const watched = watchToTheEnd(client, taken.id);
    await redis.mend();
    await expect.poll(() => statusOf("executor-1", "/readyz"), { timeout: 20_000 }).toBe(200);
    for await (const _ of deployment.client.goals.watch(id));
    // The offline model does not do what nothing is attached for; that it came to its end is what counts.
    expect(await watched).toMatch(/^goal\.(succeeded|failed)$/);
    expect(await (await probe("ingress-late", "/readyz")).json()).toMatchObject({ status: "ready" });
  }, 90_000);
});
