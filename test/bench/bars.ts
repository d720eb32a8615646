/**
 * What GOALS asks for, against the floors of the same run. A peer's own figure says nothing on another machine, so it counts
 * only as a ratio to bare BullMQ flows, which were measured beside the peers there and are measured beside us here.
 */
import { valueOf, type Bar, type Figure } from "./report.ts";

/** Measured on 2026-11-20 on 2 noisy cores with PostgreSQL 17's durable defaults: goals/s at 500 at once, ms alone (p50), CPU ms a goal. */
const flows = { goalsPerSecond: 107, p50Ms: 19, cpuMs: 14 };
const restateFanOut = { goalsPerSecond: 78 };
const mastra = { goalsPerSecond: 40 };
const dbosChildWorkflows = { goalsPerSecond: 24, cpuMs: 77 };
const dbosInline = { cpuMs: 48 };
const langGraph = { goalsPerSecond: 20 };
/** Restate with everything in one handler; Mastra took 29. */
const quickestPeerAlone = { p50Ms: 28 };

interface Ask {
  readonly name: string;
  readonly value: (read: (id: string) => number | null) => number | null;
  readonly must: number;
  readonly aim: number | null;
  readonly better: "higher" | "lower";
}

const throughput = (name: string, peer: number, must: number, aim: number): Ask => ({
  name: `goals/s at 500 at once ÷ ${name}`,
  value: (read) => ratio(read("goal/500/goals_per_second"), read("flows/500/goals_per_second"), peer),
  must,
  aim,
  better: "higher",
});
const cpu = (name: string, peer: number): Ask => ({
  name: `CPU per goal ÷ ${name}`,
  value: (read) => ratio(read("goal/500/cpu_ms_per_goal/all"), read("flows/500/cpu_ms_per_goal/all"), peer),
  must: 0.2,
  aim: 0.1,
  better: "lower",
});
const alone = (name: string, peer: number, must: number, aim: number): Ask => ({
  name: `one goal alone, p50 ÷ ${name}`,
  value: (read) => ratio(read("goal/alone/p50_ms"), read("flows/alone/p50_ms"), peer),
  must,
  aim,
  better: "lower",
});
const plain = (
  name: string,
  value: Ask["value"],
  better: Ask["better"],
  must: number,
  aim: number | null = null,
): Ask => ({ name, value, must, aim, better });

const asks: readonly Ask[] = [
  throughput("bare BullMQ flows", 1, 1.1, 2.5),
  throughput("Restate fan-out", restateFanOut.goalsPerSecond / flows.goalsPerSecond, 1.5, 3.5),
  throughput("Mastra", mastra.goalsPerSecond / flows.goalsPerSecond, 3, 6),
  throughput("DBOS child workflows", dbosChildWorkflows.goalsPerSecond / flows.goalsPerSecond, 5, 10),
  throughput("LangGraph", langGraph.goalsPerSecond / flows.goalsPerSecond, 6, 12),
  alone("bare BullMQ flows", 1, 1.05, 0.5),
  alone("the best of Restate and Mastra", quickestPeerAlone.p50Ms / flows.p50Ms, 0.7, 0.3),
  cpu("DBOS child workflows", dbosChildWorkflows.cpuMs / flows.cpuMs),
  cpu("DBOS inline", dbosInline.cpuMs / flows.cpuMs),
  plain("commits per goal at 500 at once", (read) => read("goal/500/commits_per_goal"), "lower", 5, 1),
  plain(
    "goals/s at 2,000 ÷ at 100 at once",
    (read) => ratio(read("goal/2000/goals_per_second"), read("goal/100/goals_per_second"), 1),
    "higher",
    1,
  ),
  plain("goals/s at 1 M finished goals ÷ at 10 k", (read) => read("history/large_over_small"), "higher", 0.9),
  plain("busiest idle process, % of a core", (read) => read("idle/cpu_percent/busiest"), "lower", 2),
  plain(
    "1,000 goals in flight: peak memory of the executor, MB",
    (read) => read("slow/executor_peak_mb"),
    "lower",
    1024,
  ),
  plain("recall: tool calls saved, %, median", (read) => read("recall/saved_percent/own"), "higher", 30),
  plain(
    "recall: the same by an unrelated goal's lessons, most",
    (read) => read("recall/most_saved_swapped"),
    "lower",
    5,
  ),
  plain("recall: citations that do not hold", (read) => read("recall/broken_citations"), "lower", 0),
];

export function judge(figures: readonly Figure[]): readonly Bar[] {
  return asks.map((ask) => {
    const value = ask.value((id) => valueOf(figures, id));
    const sign = ask.better === "higher" ? "≥" : "≤";
    const reaches = (bar: number) => value !== null && (ask.better === "higher" ? value >= bar : value <= bar);
    return {
      name: ask.name,
      must: `${sign} ${ask.must}`,
      aim: ask.aim === null ? null : `${sign} ${ask.aim}`,
      value,
      verdict:
        value === null
          ? "not measured"
          : ask.aim !== null && reaches(ask.aim)
            ? "aim"
            : reaches(ask.must)
              ? "must"
              : "below",
    };
  });
}

/** `ours` over what the peer would have done here. */
function ratio(ours: number | null, floor: number | null, peerOverFloor: number): number | null {
  return ours === null || floor === null || floor === 0 ? null : ours / (floor * peerOverFloor);
}
