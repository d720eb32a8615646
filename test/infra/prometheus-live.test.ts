/**
 * The names in the rules and on the board against what real services tell, and the rules in a real Prometheus that scrapes
 * them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createMetrics, passOvers, type WorkEnd } from "@outerloop/core";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses, isReady } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";
import { describeWithServers } from "../support/servers.ts";
import { boardExpressions, readRules } from "./prometheus/files.ts";
import { describeWithPrometheus } from "./prometheus/programs.ts";
import { startPrometheus, type RunningPrometheus } from "./prometheus/running.ts";
import { misuse, record, vocabularyOf, type Vocabulary } from "./prometheus/vocabulary.ts";

/** What one run brings only some of. */
const outcomes: readonly WorkEnd["outcome"][] = ["moved", "waiting", "released", "stale", "failed"];

/** Told by Prometheus itself. */
const ofPrometheus = { ALERTS: ["alertname", "alertstate", "stage"] };

describeWithServers("the metrics of running services", () => {
  let models: ScriptedServer;
  let deployment: Deployment;
  let told: Vocabulary;
  let vocabulary: Vocabulary;
  /** Of each process. */
  let probes: readonly string[];

  beforeAll(async () => {
    const answer = scriptFor({
      plan: (round) => (round % 2 === 1 ? appendTasks(1) : done("done")),
      execute: (seen) =>
        seen.lastToolResults.length > 0
          ? { text: "appended" }
          : { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line\n" } }] },
    });
    models = await startScriptedServer((seen) => answer(seen));
    deployment = await deploy({
      size: "redis",
      env: {
        OPENAI_BASE_URL: models.openAiBaseUrl,
        OPENAI_API_KEY: "sk-test-0123456789abcdef",
        // One with a price.
        OUTERLOOP_MODEL: "openai/gpt-6-luna",
        OUTERLOOP_PROBE_PORT: "0",
      },
    });
    const { id } = await deployment.client.goals.create({ text: "append a line" });
    for await (const event of deployment.client.goals.watch(id)) if (event.type === "goal.failed") throw new Error(id);
    const ready = [...deployment.processes.values()].map((each) => each.until(isReady, "it was ready"));
    probes = (await Promise.all(ready)).map(({ probePort }) => `127.0.0.1:${String(probePort)}`);
    const scraped = await Promise.all([
      scrape(`${deployment.url}/metrics`, deployment.apiKey),
      ...probes.map((probe) => scrape(`http://${probe}/metrics`)),
    ]);
    told = vocabularyOf(scraped);
    vocabulary = new Map(told);
    for (const { name, labels } of declared()) if (!vocabulary.has(name)) vocabulary.set(name, labels);
    for (const [name, labels] of Object.entries(ofPrometheus))
      vocabulary.set(name, new Map(labels.map((label) => [label, new Set()])));
    for (const labels of vocabulary.values())
      for (const outcome of outcomes) if (labels.get("outcome")?.has("moved")) labels.get("outcome")!.add(outcome);
    for (const passOver of passOvers) vocabulary.get("outerloop_model_tries_total")?.get("outcome")?.add(passOver);
    for (const rule of readRules()) if ("record" in rule) record(rule.record, rule.expr, vocabulary);
  }, 60_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await models?.close();
  });

  test("have every name, label and value that the rules ask for", () => {
    const wrong = readRules().flatMap(({ expr }) => misuse(expr, vocabulary).map((why) => `${why}: ${expr}`));
    expect(wrong).toEqual([]);
  });

  test("have every name, label and value that the board asks for", () => {
    const wrong = boardExpressions().flatMap((expr) => misuse(expr, vocabulary).map((why) => `${why}: ${expr}`));
    expect(wrong).toEqual([]);
  });

  test.each([
    ["sum by (stage) (rate(outerloop_stage_seconds_count[5m]))", "no metric outerloop_stage_seconds_count"],
    ['outerloop_tasks{state="ready"}', "outerloop_tasks has no label state"],
    ['outerloop_up{part="redis"}', "outerloop_up has no part redis"],
    [
      'rate(outerloop_reconciled_total{what=~"dead_claim|dead_job"}[5m])',
      "outerloop_reconciled_total has no what dead_job",
    ],
    ["sum by (queue) (outerloop_up)", "nothing in it has a label queue"],
    ["sum by (service) (stage:outerloop_load:max)", "nothing in it has a label service"],
  ])("do not have what %s asks for", (expr, why) => {
    expect(misuse(expr, vocabulary)).toContain(why);
  });

  test("what is no PromQL is refused", () => {
    expect(() => misuse("sum by (stage (outerloop_up)", vocabulary)).toThrow("not PromQL");
  });

  describeWithPrometheus("in a Prometheus that scrapes them", (programs) => {
    let prometheus: RunningPrometheus;

    beforeAll(async () => {
      const [, ...workers] = probes;
      prometheus = await startPrometheus(programs, [
        { job_name: "outerloop", static_configs: [{ targets: workers }] },
        {
          job_name: "outerloop-ingress",
          authorization: { credentials: deployment.apiKey },
          static_configs: [{ targets: [new URL(deployment.url).host] }],
        },
      ]);
    });
    afterAll(() => prometheus?.stop());

    const pending = async () =>
      (await prometheus.alerts()).map(({ labels: { alertname, stage } }) => ({ alertname, stage }));
    const soon = { timeout: 20_000, interval: 100 };

    test("every process is there once, with its series", async () => {
      const count = async () =>
        (await prometheus.query("namespace:outerloop_processes:count")).map(({ value }) => value);
      await expect.poll(count, soon).toEqual([deployment.processes.size]);
      const up = await prometheus.query("outerloop_up");
      expect(up.map(({ metric, value }) => [metric["part"], value])).toEqual([
        ["postgres", 1],
        ["queue", 1],
      ]);
      const names = (await prometheus.query('group by (__name__) ({__name__=~"outerloop_.+"})')).map(
        ({ metric }) => metric["__name__"],
      );
      expect(names).toEqual(expect.arrayContaining([...told.keys()].filter((name) => name.startsWith("outerloop_"))));
    });

    test("every rule can be evaluated, and nothing is pending", async () => {
      const health = async () => new Set((await prometheus.rules()).map((rule) => rule.lastError ?? rule.health));
      await expect.poll(health, soon).toEqual(new Set(["ok"]));
      expect(await prometheus.rules()).toHaveLength(readRules().length);
      // What was evaluated before the first scrape saw no ingress.
      await expect.poll(pending, soon).toEqual([]);
    });

    test("when work has no worker, that alert is pending for its stage and no other", async () => {
      const executor = deployment.processes.get("executor-1")!;
      executor.kill("SIGTERM");
      await executor.exited;
      await deployment.client.goals.create({ text: "append another line" });
      await expect.poll(pending, soon).toEqual([{ alertname: "OuterloopNoWorkers", stage: "execute" }]);
    });

    test("when ingress goes, that alert is pending and no other", async () => {
      deployment.processes.get("ingress")!.kill("SIGTERM");
      await expect.poll(pending, soon).toEqual([{ alertname: "OuterloopNoIngress" }]);
    });
  });
});

/** Of metrics that count only what went wrong there may be no sample; what the services' code declares stands for it. */
function declared(): { name: string; labels: Map<string, Set<string>> }[] {
  return createMetrics()
    .registry.getMetricsAsArray()
    .map((metric) => {
      const { name, labelNames = [] } = metric as unknown as { name: string; labelNames?: readonly string[] };
      return { name, labels: new Map(labelNames.map((label) => [label, new Set<string>()])) };
    });
}

async function scrape(url: string, apiKey?: string): Promise<string> {
  const response = await fetch(url, apiKey === undefined ? {} : { headers: { authorization: `Bearer ${apiKey}` } });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.text();
}
