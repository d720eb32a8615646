/** Processes that end while models are asked: what was under way is finished or asked again, and limits know of both. */
import { afterEach, expect, test } from "vitest";
import { describeWithServers } from "../support/servers.ts";
import { startHouse, type House } from "./support/house.ts";
import { startProvider, type TestProvider } from "./support/provider.ts";
import { sized, tellFigures } from "./support/size.ts";

describeWithServers("processes that end while models are asked", () => {
  let provider: TestProvider;
  let house: House | undefined;
  afterEach(async () => {
    await house?.stop();
    house = undefined;
    await provider?.close();
  }, 60_000);

  test("a call under way at SIGTERM is kept where it ends in time, and asked again by another where it does not", async () => {
    let asked = Promise.withResolvers<void>();
    let release = Promise.withResolvers<void>();
    let made = 0;
    provider = await startProvider(async (purpose, { messageCount }) => {
      if (purpose !== "execute" || messageCount !== 1) return undefined;
      made += 1;
      asked.resolve();
      await release.promise;
      return undefined;
    });
    const route = "one/gpt-test";
    house = await startHouse({
      env: { OUTERLOOP_INTAKE: "off", OUTERLOOP_DRAIN_MS: "2000" },
      models: {
        providers: { one: { kind: "openai", base_url: provider.openAiBaseUrl } },
        routes: { plan: route, execute: route, reflect: route },
      },
    });
    for (const [executor, calls] of [1, 2].entries()) {
      made = 0;
      asked = Promise.withResolvers();
      release = Promise.withResolvers();
      const ids = await house.post(1);
      await asked.promise;
      const stopped = house.deployment.processes.get(`executor-${executor + 1}`)!;
      stopped.kill("SIGTERM");
      await stopped.until((line) => line.event === "draining", "it began to drain");
      if (calls === 1) release.resolve();
      expect(await stopped.exited).toBe(0);
      release.resolve();
      await house.deployment.start("executor", `executor-${executor + 2}`);
      expect(await house.ended(ids)).toMatchObject([{ status: "succeeded" }]);
      expect(made).toBe(calls);
    }
    expect(await house.rows("SELECT DISTINCT attempt, status FROM tasks")).toEqual([{ attempt: 1, status: "done" }]);
  }, 90_000);

  const goals = sized(12, 60);
  const kills = sized(2, 8);
  test(
    `${kills} executors killed under a limit, at a provider that fails in a fifth of its calls: no goal is lost`,
    async () => {
      let executed = 0;
      provider = await startProvider((purpose) => {
        if (purpose !== "execute") return undefined;
        executed += 1;
        return executed % 5 === 0 ? { error: { status: 503, message: "away" } } : undefined;
      });
      const [route, limited] = ["one/gpt-test", "limited/gpt-test"];
      const windowMs = 3000;
      // Of a window this short, a few milliseconds are left for requests that are on their way.
      const lateMs = 300;
      const perWindow = 12;
      house = await startHouse({
        executors: 2,
        env: { OUTERLOOP_INTAKE: "off", OUTERLOOP_MODEL_WINDOW_MS: String(windowMs), OUTERLOOP_LEASE_MS: "1000" },
        models: {
          providers: {
            one: { kind: "openai", base_url: provider.openAiBaseUrl },
            limited: { kind: "openai", base_url: provider.openAiBaseUrl },
          },
          routes: { plan: route, execute: limited, reflect: route },
          limits: { limited: { requests_per_minute: perWindow } },
          retry: { first_wait_ms: 50, cap_ms: 200 },
        },
      });
      const ids = await house.post(goals);
      const executes = () => provider.asked.filter((each) => each.purpose === "execute");
      for (let kill = 0; kill < kills; kill += 1) {
        // Amid its work: some more calls were made since the last.
        const before = executes().length;
        await expect.poll(() => executes().length, { timeout: 30_000, interval: 10 }).toBeGreaterThan(before + 3);
        const name = `executor-${1 + (kill % 2)}`;
        const victim = house.deployment.processes.get(name)!;
        victim.kill("SIGKILL");
        await victim.exited;
        await house.deployment.start("executor", name);
      }
      const ends = await house.ended(ids, sized(60_000, 300_000));
      const at = executes().map((each) => each.at);
      const most = Math.max(
        ...at.map((begin) => at.filter((each) => each >= begin && each < begin + windowMs - lateMs).length),
      );
      tellFigures("kills under a limit", { goals, kills, calls: at.length, most, perWindow });
      expect(ends.filter((goal) => goal.status !== "succeeded")).toEqual([]);
      // A request that died with its process is counted as one that was made.
      expect(most).toBeLessThanOrEqual(perWindow);
    },
    sized(120_000, 400_000),
  );
});
