/** What every process costs while nobody wants anything. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Bench } from "../bench.ts";
import { deploy, deployEmbedded, kinds, type Deployment } from "../deployment.ts";
import { runBurst, runBurstOverHttp } from "../workload.ts";
import { percentOfCore } from "./figure-kinds.ts";

/** After work: what it left behind is cleaned up, timers are in their rhythm. */
const settleMs = 5000;
const quickSettleMs = 2000;
const timeoutMs = 120_000;
const servers = new Set(["postgres", "valkey"]);

export async function idle(bench: Bench): Promise<void> {
  const { figures, options, say } = bench;
  const forMs = options.isQuick ? 5000 : 15_000;
  let busiest = 0;
  const measure = async (deployment: Deployment, warmUp: () => Promise<unknown>) => {
    try {
      await warmUp();
      await sleep(options.isQuick ? quickSettleMs : settleMs);
      const [before, startedAt] = [deployment.cpu(), performance.now()];
      await sleep(forMs);
      const [after, tookMs] = [deployment.cpu(), performance.now() - startedAt];
      for (const kind of kinds) {
        if (after[kind] === undefined) continue;
        const percent = ((after[kind] - (before[kind] ?? 0)) / tookMs) * 100;
        figures.add(`idle/cpu_percent/${kind}`, percent, percentOfCore);
        if (!servers.has(kind)) busiest = Math.max(busiest, percent);
      }
    } finally {
      await deployment.stop();
    }
  };
  say(`idle for ${forMs / 1000} s: separate processes, then embedded`);
  const separate = await deploy({ servers: bench.servers, executors: 1 });
  await measure(separate, () => runBurst(separate, { goals: 20, timeoutMs }));
  if (!options.isQuick) {
    const embedded = await deployEmbedded({});
    await measure(embedded, () => runBurstOverHttp(embedded, { goals: 5, timeoutMs }));
  }
  figures.add("idle/cpu_percent/busiest", busiest, percentOfCore);
}
