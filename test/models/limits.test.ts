/** A provider's limit holds for all replicas together, is used up while there is work, and what waits for it waits in Postgres. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWithServers } from "../support/servers.ts";
import { startHouse, type House } from "./support/house.ts";
import { startProvider, type Asked, type TestProvider } from "./support/provider.ts";
import { medianOf, sized, tellFigures } from "./support/size.ts";

const perWindow = sized(30, 60);
const windowMs = sized(4000, 60_000);
const windows = 3;
/** How late a request may arrive; a window that is shortened has less room for those on their way than a minute has. */
const lateMs = sized(200, 0);
const callsOfGoal = 2;
/** More work than the windows that are looked at can take. */
const goalsOfTenant = Math.ceil((perWindow * (windows + 0.5)) / callsOfGoal / 2);
const lookEveryMs = sized(100, 1000);

/** Goals are numbered in the order of their posting, those of the first tenant before all of the second. */
const isOfFirst = ({ seen }: Asked) => Number(/goal number (\d+)/.exec(JSON.stringify(seen.body))![1]) <= goalsOfTenant;

describeWithServers(`a limit of ${perWindow} requests in ${windowMs} ms, three executors and two tenants`, () => {
  let limited: TestProvider;
  let free: TestProvider;
  let house: House;

  beforeAll(async () => {
    limited = await startProvider();
    free = await startProvider();
    const others = ["free/gpt-test"];
    house = await startHouse({
      executors: 3,
      env: { OUTERLOOP_INTAKE: "off", OUTERLOOP_MODEL_WINDOW_MS: String(windowMs), OUTERLOOP_TENANT_IN_FLIGHT: "1000" },
      models: {
        providers: {
          limited: { kind: "openai", base_url: limited.openAiBaseUrl },
          free: { kind: "openai", base_url: free.openAiBaseUrl },
        },
        routes: { plan: others, execute: ["limited/gpt-test"], reflect: others },
        limits: { limited: { requests_per_minute: perWindow } },
      },
    });
  }, 90_000);
  afterAll(async () => {
    await house?.stop();
    await limited?.close();
    await free?.close();
  });

  test(
    "no window has more, nine tenths are used, tenants share it, and waiting holds no slot and asks seldom",
    async () => {
      const other = await house.tenant("t_other");
      const [mine, theirs] = await Promise.all([house.post(goalsOfTenant), house.post(goalsOfTenant, other)]);
      const ids = [...mine, ...theirs];
      const running: number[] = [];
      const dueLater: number[] = [];
      // Ends when enough windows were seen; there is work beyond them.
      const until = performance.now() + windowMs * windows;
      while (performance.now() < until) {
        const [now] = await house.rows<{ running: number; later: number }>(`
        SELECT count(*) FILTER (WHERE lease_id IS NOT NULL)::integer AS running,
          count(*) FILTER (WHERE lease_id IS NULL AND (status = 'waiting' OR due_at > clock_timestamp()))::integer AS later FROM tasks WHERE ended_at IS NULL`);
        running.push(now!.running);
        dueLater.push(now!.later);
        await sleep(lookEveryMs);
      }
      const arrivals = limited.asked.map((each) => each.at);
      const [waits] = await house.rows<{ n: number }>(`
      SELECT count(*)::integer AS n FROM events WHERE type = 'task.waiting'`);
      const ends = await house.ended(ids, windowMs * (windows + 3) + 60_000);

      const first = limited.asked[0]!.at;
      const all = limited.asked.map((each) => each.at);
      const most = Math.max(
        ...all.map((at) => all.filter((each) => each >= at && each < at + windowMs - lateMs).length),
      );
      const usable = perWindow * windows;
      const used = arrivals.filter((at) => at < first + windowMs * windows).length / usable;
      // Nobody waits while the first window fills, and who comes first has it.
      const shared = limited.asked.slice(perWindow, arrivals.length);
      const share = shared.filter(isOfFirst).length / shared.length;
      const waitsOfGrant = waits!.n / arrivals.length;
      const middle = running.slice(Math.floor(running.length / 4));
      tellFigures("limit", {
        most,
        perWindow,
        usedPercent: Math.round(used * 100),
        share,
        waitsOfGrant,
        medianRunning: medianOf(middle),
        mostRunning: Math.max(...middle),
        mostDueLater: Math.max(...dueLater),
        goals: ids.length,
      });
      expect(ends.filter((goal) => goal.status !== "succeeded")).toEqual([]);
      expect(most).toBeLessThanOrEqual(perWindow);
      expect(used).toBeGreaterThanOrEqual(sized(0.75, 0.9));
      expect(share).toBeGreaterThan(0.4);
      expect(share).toBeLessThan(0.6);
      expect(Math.max(...dueLater)).toBeGreaterThan(goalsOfTenant / 2);
      expect(medianOf(middle)).toBeLessThanOrEqual(5);
      expect(waitsOfGrant).toBeLessThanOrEqual(3);
    },
    windowMs * (windows + 4) + 90_000,
  );
});
