/** A configuration that changes while goals run: calls that begin later go by it, in every process, and no goal notices. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isReady, type LogLine } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { configText, startHouse, writeByRename, type House, type ModelsSaid } from "./support/house.ts";
import { startProvider, type TestProvider } from "./support/provider.ts";
import { sized, tellFigures } from "./support/size.ts";

/** From the change of the file to the last call by the old one. */
const noticedMs = 3000;
const goalsAtOnce = sized(3, 10);

/** As Kubernetes mounts a ConfigMap: the file is a link through `..data`, which is a link to a folder of its version. */
function placeAsMount(folder: string, text: string): string {
  swapVersion(folder, "1", text);
  symlinkSync(join("..data", "outerloop.yaml"), join(folder, "outerloop.yaml"));
  return join(folder, "outerloop.yaml");
}

function swapVersion(folder: string, version: string, text: string): void {
  mkdirSync(join(folder, `..${version}`));
  writeFileSync(join(folder, `..${version}`, "outerloop.yaml"), text);
  symlinkSync(`..${version}`, join(folder, "..data_tmp"));
  renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
}

describeWithServers("a configuration that changes while goals run", () => {
  let providers: readonly [TestProvider, TestProvider];
  let house: House;
  const said = (to: "one" | "two"): ModelsSaid => {
    const route = `${to}/gpt-test`;
    return {
      providers: {
        one: { kind: "openai", base_url: providers[0].openAiBaseUrl },
        two: { kind: "openai", base_url: providers[1].openAiBaseUrl },
      },
      routes: { intake: route, plan: route, execute: route, hard: route, reflect: route },
    };
  };

  beforeAll(async () => {
    const slowly = () => sleep(20).then(() => undefined);
    providers = [await startProvider(slowly, { calls: 4 }), await startProvider(slowly, { calls: 4 })];
    house = await startHouse({ executors: 2, models: said("one"), place: placeAsMount });
  }, 90_000);
  afterAll(async () => {
    await house?.stop();
    for (const provider of providers ?? []) await provider.close();
  });

  const count = (event: string) =>
    house.processes().map((process) => process.lines.filter((line: LogLine) => line.event === event).length);
  /** Keeps goals running until it is stopped; resolves with how they ended. */
  function keepGoing(): { stop(): Promise<readonly string[]> } {
    let isStopped = false;
    const statuses: string[] = [];
    // Ends when it is stopped, and its goals have ended.
    const line = async () => {
      while (!isStopped) statuses.push(...(await house.ended(await house.post(1))).map((goal) => goal.status));
    };
    const lines = Promise.all(Array.from({ length: goalsAtOnce }, line));
    return {
      async stop() {
        isStopped = true;
        await lines;
        return statuses;
      },
    };
  }
  /** Changes the file under load and waits until all processes have it. @returns milliseconds from then to the last call of the old one */
  async function move(
    to: 0 | 1,
    change: () => void,
  ): Promise<{ readonly lateMs: number; readonly statuses: readonly string[] }> {
    const old = providers[1 - to]!;
    const goals = keepGoing();
    const before = providers[to]!.asked.length;
    await expect.poll(() => old.asked.length, { interval: 20 }).toBeGreaterThan(0);
    const [reloads, changedAt] = [count("config_reloaded"), performance.now()];
    change();
    await expect
      .poll(() => count("config_reloaded"), { timeout: 20_000, interval: 20 })
      .toEqual(reloads.map((each) => each + 1));
    await expect
      .poll(() => providers[to]!.asked.length, { interval: 20, timeout: 20_000 })
      .toBeGreaterThan(before + 20);
    const statuses = await goals.stop();
    return { lateMs: Math.max(...old.asked.map((each) => each.at)) - changedAt, statuses };
  }

  test.each([
    ["a swapped link, as Kubernetes does it", 1, () => swapVersion(house.folder, "2", configText(said("two")))],
    ["a rename", 0, () => writeByRename(house.path, configText(said("one")))],
    ["a write in place", 1, () => writeFileSync(house.path, configText(said("two")))],
  ] as const)(
    "by %s: calls go to the other provider within 3 s, and none fails",
    async (title, to, change) => {
      const { lateMs, statuses } = await move(to, change);
      tellFigures(`reload by ${title}`, { lateMs: Math.round(lateMs), goals: statuses.length });
      expect(new Set(statuses)).toEqual(new Set(["succeeded"]));
      expect(lateMs).toBeLessThan(noticedMs);
      expect(await house.tries()).toEqual([]);
    },
    60_000,
  );

  test.each([
    ["is no YAML", () => "models: ["],
    ["has an unknown field", () => configText({ ...said("one"), colour: "green" } as ModelsSaid)],
    ["routes to nobody", () => configText({ ...said("one"), routes: { execute: "nobody/gpt-test" } })],
  ])(
    "one that %s changes nothing, and is told in the log and by a metric",
    async (_title, text) => {
      const refusals = count("config_refused");
      const [one, two] = providers.map((provider) => provider.asked.length);
      writeByRename(house.path, text());
      await expect
        .poll(() => count("config_refused"), { timeout: 20_000, interval: 20 })
        .toEqual(refusals.map((each) => each + 1));
      const ends = await house.ended(await house.post(1));
      expect(ends[0]).toMatchObject({ status: "succeeded" });
      expect(providers[0].asked.length).toBe(one);
      expect(providers[1].asked.length).toBeGreaterThan(two!);
      // One look serves all who ask within a moment.
      await expect.poll(refusedByMetric, { timeout: 10_000 }).toEqual(refusals.map((each) => each + 1));
    },
    60_000,
  );

  async function refusedByMetric(): Promise<readonly number[]> {
    const ports = await Promise.all(house.processes().map((process) => process.until(isReady, "its probes' port")));
    return Promise.all(
      ports.map(async ({ probePort }) => {
        const text = await (await fetch(`http://127.0.0.1:${String(probePort)}/metrics`)).text();
        return Number(/^outerloop_config_reloads_total\{.*outcome="refused".*\} (\d+)$/m.exec(text)?.[1]);
      }),
    );
  }
});
