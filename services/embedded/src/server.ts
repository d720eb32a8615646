/** All four services in one process; only composes them. */
import { writeFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { openRuntime, type Config, type Runtime, type RuntimeOptions } from "@outerloop/core";
import { createExecutor } from "@outerloop/executor";
import { ensureFirstKey, ingressSettings, startIngress } from "@outerloop/ingress";
import { createPlanner } from "@outerloop/planner";
import { createReflector } from "@outerloop/reflector";
import { openRegistry, type Registry } from "@outerloop/skills";

export interface EmbeddedServer {
  readonly url: string;
  readonly apiKey: string;
  readonly runtime: Runtime;
  /** Drains and closes everything. */
  close(): Promise<void>;
}

export interface EmbeddedOptions extends Pick<RuntimeOptions, "logTo" | "logLevel" | "offline"> {
  /** Where the port is taken: the next free one, or a clear error. */
  readonly fallbackPort: boolean;
  /** Starts no workers: goals are looked at, none moves. */
  readonly onlyLooks?: boolean;
}

export async function startEmbedded(config: Config, options: EmbeddedOptions): Promise<EmbeddedServer> {
  const runtime = await openRuntime(config, { service: "embedded", listens: true, ...options });
  try {
    const { key } = await ensureFirstKey(runtime);
    const registry = await openRegistry(config);
    const ingress = await startIngress(runtime, {
      ...ingressSettings(config, key),
      tools: registry,
      fallback: options.fallbackPort,
    });
    if (options.onlyLooks !== true) startWorkers(runtime, registry);
    // For the CLI and for a second start on the same data.
    const address = join(config.dataDir, "server.json");
    await writeFile(address, JSON.stringify({ url: ingress.url, pid: process.pid, instance: runtime.lease }), {
      mode: 0o600,
    });
    return {
      url: ingress.url,
      apiKey: key,
      runtime,
      async close() {
        await rm(address, { force: true });
        await ingress.close();
        await runtime.close();
      },
    };
  } catch (thrown) {
    await runtime.close();
    throw thrown;
  }
}

function startWorkers(runtime: Runtime, registry: Registry): void {
  const { slots } = runtime.config;
  runtime.startWorker("plan", createPlanner(runtime, registry), slots.planner);
  runtime.startWorker("execute", createExecutor(runtime, registry), slots.executor);
  runtime.startWorker("reflect", createReflector(runtime, registry), slots.reflector);
}
