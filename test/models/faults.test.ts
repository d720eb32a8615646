/** Three tenths of what the first provider answers are faults of every kind: goals succeed all the same, and the journal tells each. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../support/seeded-random.ts";
import type { Scripted } from "../../packages/core/src/models/testing/scripted-server.ts";
import { describeWithServers } from "../support/servers.ts";
import { startHouse, type House } from "./support/house.ts";
import { startProvider, type Purpose, type TestProvider } from "./support/provider.ts";
import { sized, tellFigures } from "./support/size.ts";

const goals = sized(24, 200);
const share = 0.3;
const budget = 0.3;
/** Each process has these beside its share. */
const reserve = 10;
const silenceMs = 400;

type Kind =
  | "asked to wait"
  | "429"
  | "500"
  | "529"
  | "silent"
  | "stops in the middle"
  | "cut"
  | "malformed"
  | "other shape";
const kinds: readonly Kind[] = [
  "429",
  "500",
  "529",
  "silent",
  "stops in the middle",
  "cut",
  "malformed",
  "other shape",
  "asked to wait",
];

function faultOf(kind: Kind): Scripted {
  switch (kind) {
    case "asked to wait":
      return { error: { status: 429, message: "slow down", headers: { "retry-after": "1" } } };
    case "429":
    case "500":
    case "529":
      return { error: { status: Number(kind), message: "overloaded" } };
    case "silent":
      return "hang";
    case "stops in the middle":
      return { text: "it is", after: "hang" };
    case "cut":
      return { text: "it is", after: "break" };
    case "malformed":
      return { text: "it is", after: "garbage" };
    case "other shape":
      return { json: { colour: "green" } };
  }
}

/** Told without a request. */
const passedOver = new Set(["breaker_open", "cooling"]);

describeWithServers("a provider that fails in three calls of ten", () => {
  let first: TestProvider;
  let second: TestProvider;
  let house: House;
  const random = createRandom(20);
  const made: Kind[] = [];
  /** Each kind comes before one comes again; first those that do not keep calls away from it. */
  let due: readonly Kind[] = kinds;

  beforeAll(async () => {
    first = await startProvider((purpose: Purpose) => {
      if (purpose === "probe" || !random.chance(share)) return undefined;
      if (due.length === 0) due = random.shuffle(kinds);
      // Prose has no shape that could be another.
      const kind = due.find((each) => purpose !== "execute" || each !== "other shape") ?? random.pick(["500", "429"]);
      due = due.filter((each) => each !== kind);
      made.push(kind);
      return faultOf(kind);
    });
    second = await startProvider();
    const route = ["first/gpt-test", "second/claude-test"];
    house = await startHouse({
      executors: 2,
      env: { SECOND_KEY: "sk-second" },
      models: {
        providers: {
          first: {
            kind: "openai",
            base_url: first.openAiBaseUrl,
            timeouts: { total_ms: 10_000, first_token_ms: silenceMs, between_tokens_ms: silenceMs },
          },
          second: { kind: "anthropic", base_url: second.anthropicBaseUrl, key: { env: "SECOND_KEY" } },
        },
        routes: { intake: route, plan: route, execute: route, hard: route, reflect: route },
        retry: { budget, first_wait_ms: 50, cap_ms: 200 },
        // A provider of this kind is to be called on, not held back.
        breaker: { failure_share: 0.9 },
      },
    });
  }, 90_000);
  afterAll(async () => {
    await house?.stop();
    await first?.close();
    await second?.close();
  });

  test(
    `${goals} goals succeed, retries keep to their budget, and every failed try is told with its reason`,
    async () => {
      const ids: string[] = [];
      // As many at once as make the processes work, without a queue that hides what a fault costs.
      for (let left = goals; left > 0; left -= 12) {
        const some = await house.post(Math.min(left, 12));
        await house.ended(some, 120_000);
        ids.push(...some);
      }
      const failed = (await house.ended(ids)).filter((goal) => goal.status !== "succeeded");
      const tries = await house.tries();
      const requests = tries.filter((each) => each.model === "first/gpt-test" && !passedOver.has(each.why));
      const asOther = made.filter((kind) => kind === "other shape").length;
      const asked = first.asked.filter((each) => each.purpose !== "probe").length;
      // A retry is a request after a failed one of the same call: what was not the first of its call.
      const retries = await retriesOf(house);
      const firsts = asked - retries;
      const processes = house.processes().length;
      tellFigures("faults at 30 %", {
        goals,
        succeeded: 1 - failed.length / goals,
        asked,
        faults: made.length,
        retries,
        mostRetries: Math.round(firsts * budget + reserve * processes),
        asSecond: second.asked.length,
        told: Object.fromEntries([...Map.groupBy(tries, (each) => each.why)].map(([why, { length }]) => [why, length])),
      });
      expect(failed.slice(goals * sized(0, 0.01))).toEqual([]);
      expect(new Set(made)).toEqual(new Set(kinds));
      // What has another shape was answered: it stands in the journal as a step, and is sent back.
      expect(requests.length).toBe(made.length - asOther);
      for (const { why, message } of tries) {
        expect(why).toMatch(/^(model_unavailable|rate_limited|timeout|breaker_open|cooling)$/);
        expect(message).not.toBe("");
      }
      expect(retries).toBeGreaterThan(0);
      expect(retries).toBeLessThanOrEqual(firsts * budget + reserve * processes);
      expect(second.asked.length).toBeGreaterThan(0);
      expect(second.asked.some((each) => each.replaced)).toBe(false);
    },
    sized(60_000, 600_000),
  );
});

/** Requests to the first provider that followed a failed one of the same call. */
async function retriesOf(house: House): Promise<number> {
  const [row] = await house.rows<{ n: number }>(`
    WITH told AS (
      SELECT output -> 'tries' AS tries, output ->> 'provider' AS by FROM steps WHERE phase = 'result' AND kind = 'model'
      UNION ALL SELECT data -> 'tries', NULL FROM events WHERE type <> 'step.model' AND data ? 'tries'
    ), counted AS (
      SELECT (SELECT count(*) FROM jsonb_array_elements(coalesce(tries, '[]')) t
        WHERE t ->> 'model' LIKE 'first/%' AND t ->> 'why' NOT IN ('breaker_open', 'cooling')) + (by = 'first')::integer AS requests FROM told
    ) SELECT coalesce(sum(greatest(requests - 1, 0)), 0)::integer AS n FROM counted`);
  return row!.n;
}
