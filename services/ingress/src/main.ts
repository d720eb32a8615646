/** Ingress as a process of its own. */
import { runService } from "@outerloop/core";
import { openRegistry } from "@outerloop/skills";
import { ensureFirstKey } from "./first-key.ts";
import { tellMetrics } from "./operators/metrics-route.ts";
import { ingressSettings, startIngress } from "./server.ts";

await runService({
  name: "ingress",
  listens: true,
  needsQueue: false,
  callsModels: false,
  start: async (runtime, config) => {
    const { key, path } = await ensureFirstKey(runtime);
    const tools = await openRegistry(config);
    const ingress = await startIngress(runtime, { ...ingressSettings(config, key), tools, fallback: false });
    return {
      ready: { url: ingress.url, keyFile: path, database: runtime.database.kind, queue: runtime.queue.kind },
      metrics: () => tellMetrics(runtime),
      close: () => ingress.close(),
    };
  },
});
