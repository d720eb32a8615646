/** What a seed decides before anything runs: who there is, and how bad the weather. */
import { readConfig, type Config, type QueueName } from "@outerloop/core";
import type { Weather } from "./network.ts";
import type { Random } from "./random.ts";

export interface Setting {
  readonly processes: number;
  readonly goals: number;
  readonly tenants: number;
  readonly chaosMs: number;
  /** Between two deaths, stops, deeds, … on average. */
  readonly deathEveryMs: number;
  readonly stopEveryMs: number;
  readonly deedEveryMs: number;
  readonly flushEveryMs: number;
  /** Of a process that dies or is stopped right after it wrote, before it hears of it. */
  readonly strikes: number;
  /** Of people who interfere right after a write. */
  readonly meddling: number;
  readonly busy: number;
  readonly batches: boolean;
}

export function drawSetting(random: Random, singleSession: boolean): Setting {
  const often = (from: number, to: number, chance: number) => (random.chance(chance) ? random.int(from, to) : Infinity);
  return {
    processes: random.int(1, 3),
    goals: random.int(1, 3),
    tenants: random.int(1, 2),
    chaosMs: random.int(10_000, 60_000),
    deathEveryMs: often(2000, 15_000, 0.6),
    stopEveryMs: often(3000, 20_000, 0.5),
    deedEveryMs: random.int(500, 5000),
    flushEveryMs: often(5000, 30_000, 0.3),
    strikes: random.pick([0, 0, 0.003, 0.01]),
    meddling: random.pick([0, 0, 0.01, 0.03]),
    busy: singleSession ? 0 : random.pick([0, 0, 0.1, 0.3]),
    batches: random.chance(0.5),
  };
}

export function drawConfig(random: Random): Config {
  const auto = ["mail", "post", "order"].filter(() => random.chance(0.3)).join(",");
  return readConfig(
    {
      OUTERLOOP_AUTO_APPROVE: auto,
      OUTERLOOP_APPROVAL_DEADLINE_MS: String(random.int(5, 60) * 1000),
      OUTERLOOP_ON_APPROVAL_DEADLINE: random.pick(["reject", "fail"]),
      OUTERLOOP_PLANNER_SLOTS: String(random.int(1, 2)),
      OUTERLOOP_EXECUTOR_SLOTS: String(random.int(1, 5)),
      OUTERLOOP_REFLECTOR_SLOTS: String(random.int(1, 3)),
      OUTERLOOP_TENANT_IN_FLIGHT: String(random.pick([1, 2, 4, 500])),
      OUTERLOOP_MAX_TOOL_CALLS: String(random.int(2, 6)),
      OUTERLOOP_RECONCILE_MS: "2000",
      OUTERLOOP_LEASE_MS: String(random.pick([4000, 10_000])),
      OUTERLOOP_BACKOFF_CAP_MS: "20000",
      OUTERLOOP_INTAKE: random.pick(["on", "on", "on", "off"]),
      OUTERLOOP_GUARD_STRIKES: String(random.pick([1, 2, 2, 3])),
      OUTERLOOP_GUARD_IDLE_PLANS: String(random.int(1, 3)),
      OUTERLOOP_OBSERVATION_CHARS: "1000",
    },
    "/",
  );
}

/** Each process serves some stages; each stage is served by somebody. */
export function drawStages(random: Random, processes: number): readonly (readonly QueueName[])[] {
  const all = ["plan", "execute", "reflect"] as const;
  if (processes === 3 && random.chance(0.4)) return all.map((stage) => [stage]);
  return Array.from({ length: processes }, (_, place) =>
    place === 0 ? all : all.filter((_stage, index) => index === place % 3 || random.chance(0.6)),
  );
}

export function drawFaults(
  random: Random,
  weather: Weather,
  queueWeather: Weather,
  queueFaults: Record<string, number>,
  providerFaults: Record<string, number>,
  outsideFaults: Record<string, number>,
): void {
  const some = (rates: readonly number[]) => random.pick(rates);
  Object.assign(providerFaults, { away: some([0, 0.05, 0.2]), fatal: some([0, 0.01]), malformed: some([0, 0.05]) });
  Object.assign(outsideFaults, { refusals: some([0, 0.1]), silences: some([0, 0.1, 0.3]), hangs: some([0, 0.02]) });
  Object.assign(queueFaults, { reorders: some([0, 0.3]), delays: some([0, 0.1]) });
  weather.slow = some([0, 0.05]);
  weather.slowMs = some([100, 3000]);
  Object.assign(queueFaults, { drops: some([0, 0, 0.1]), duplicates: some([0, 0.1]), unannounced: some([0, 0.2]) });
  weather.lostRequests = some([0, 0.01, 0.05]);
  weather.lostReplies = some([0, 0.01, 0.05]);
  queueWeather.lostRequests = some([0, 0.02]);
  queueWeather.lostReplies = some([0, 0.02]);
}
