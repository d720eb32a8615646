/** A model that fails is held back by all replicas at once, probed by one of them, and called again by all when it answers. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LogLine } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { startHouse, timeOf, type House } from "./support/house.ts";
import { startProvider, type TestProvider } from "./support/provider.ts";
import { tellFigures } from "./support/size.ts";

const openMs = 1500;
/** What one replica finds, all know after this. */
const knownMs = 2000;
/** Failed probes before it is mended; each waits for twice as long as the one before, up to the most. */
const failedProbes = 3;
const maxOpenMs = 3000;

describeWithServers("a model that fails, and three executors", () => {
  let first: TestProvider;
  let second: TestProvider;
  let house: House;
  let isBroken = false;

  beforeAll(async () => {
    first = await startProvider(() => (isBroken ? { error: { status: 500, message: "broken" } } : undefined));
    second = await startProvider();
    const healthy = ["second/claude-test"];
    house = await startHouse({
      executors: 3,
      env: { SECOND_KEY: "sk-second", OUTERLOOP_INTAKE: "off", OUTERLOOP_EXECUTOR_SLOTS: "2" },
      models: {
        providers: {
          first: { kind: "openai", base_url: first.openAiBaseUrl },
          second: { kind: "anthropic", base_url: second.anthropicBaseUrl, key: { env: "SECOND_KEY" } },
        },
        routes: { plan: healthy, execute: ["first/gpt-test", ...healthy], reflect: healthy },
        retry: { tries: 2, first_wait_ms: 20, cap_ms: 40 },
        breaker: { calls: 5, min_calls: 3, open_ms: openMs, max_open_ms: maxOpenMs, probe_ms: 1000 },
      },
    });
  }, 90_000);
  afterAll(async () => {
    await house?.stop();
    await first?.close();
    await second?.close();
  });

  const is = (event: string) => (line: LogLine) => line.event === event && line["model"] === "first/gpt-test";
  const all = (event: string) =>
    Promise.all(house.processes("executor").map((process) => process.until(is(event), `it told ${event}`)));
  const spreadMs = (lines: readonly LogLine[]) => Math.max(...lines.map(timeOf)) - Math.min(...lines.map(timeOf));
  const probes = () => first.asked.filter((each) => each.purpose === "probe");

  test("it opens in all of them within 2 s, one probe a period reaches it, and it closes in all within 2 s", async () => {
    isBroken = true;
    await house.ended(await house.post(6));
    const opened = await all("model_open");
    expect(spreadMs(opened)).toBeLessThan(knownMs);

    // What is not wanted is not probed, and while it is held back nobody is sent there.
    const callsBefore = first.asked.length - probes().length;
    await expect
      .poll(
        async () => {
          await house.ended(await house.post(1));
          return probes().length;
        },
        { timeout: 30_000, interval: 20 },
      )
      .toBeGreaterThanOrEqual(failedProbes);
    expect(first.asked.length - probes().length).toBe(callsBefore);
    const gaps = probes()
      .slice(1)
      .map((probe, index) => probe.at - probes()[index]!.at);
    // Twice the first period, and then the longest there is: a second replica's probe would come between.
    for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(Math.min(openMs * 2, maxOpenMs) * 0.95);

    isBroken = false;
    const closed = await all("model_closed");
    expect(spreadMs(closed)).toBeLessThan(knownMs);
    const probed = probes().length;
    expect(probed).toBeLessThanOrEqual(failedProbes + 2);
    tellFigures("breaker", {
      openMs: spreadMs(opened),
      closeMs: spreadMs(closed),
      probes: probed,
      gapsMs: gaps.map(Math.round),
    });

    const before = first.asked.length;
    const ends = await house.ended(await house.post(3));
    expect(ends.map((goal) => goal.status)).toEqual(["succeeded", "succeeded", "succeeded"]);
    expect(first.asked.length - before).toBe(6);
    expect(probes().length).toBe(probed);
    // A success forgets what failed before: the next failure alone opens nothing.
    expect(house.processes("executor").flatMap((process) => process.lines.filter(is("model_open"))).length).toBe(3);
  }, 60_000);
});
