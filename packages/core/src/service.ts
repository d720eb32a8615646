/** How a service starts and stops: one `ready` line, a drain on SIGTERM or SIGINT, exit 0. */
import { readConfig, type Config } from "./config.ts";
import { messageOf, OuterloopError } from "./domain/errors.ts";
import { startProbeServer } from "./probes/probe-server.ts";
import { createReadiness } from "./probes/readiness.ts";
import { shareLook } from "./probes/shared-look.ts";
import { createRedactor } from "./redaction.ts";
import { openRuntime, type Runtime, type RuntimeOptions } from "./runtime.ts";
import { loadOfStages } from "./store/load-of-stages.ts";

export interface ServiceOptions extends Pick<RuntimeOptions, "offline" | "needsQueue" | "callsModels"> {
  readonly name: string;
  /** Whether it serves watchers. */
  readonly listens?: boolean;
  start(runtime: Runtime, config: Config): Promise<StartedService>;
}

export interface StartedService {
  /** What the `ready` line says. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** All that it tells, in Prometheus' text format; its own counters where this is left out. */
  metrics?(): Promise<string>;
  /** Before the runtime closes, which drains its workers. */
  close?(): Promise<void>;
}

/** What is asked without a key costs the database at most one look in this time. */
const lookMs = 1000;

/** Runs until it is told to stop. A set-up that fails says what is wrong on stderr and exits with 1. */
export async function runService(options: ServiceOptions): Promise<void> {
  let redactor = createRedactor([]);
  try {
    const config = readConfig();
    redactor = createRedactor(config.secrets);
    const runtime = await openRuntime(config, {
      service: options.name,
      ...(options.listens === undefined ? {} : { listens: options.listens }),
      ...(options.offline === undefined ? {} : { offline: options.offline }),
      ...(options.needsQueue === undefined ? {} : { needsQueue: options.needsQueue }),
      ...(options.callsModels === undefined ? {} : { callsModels: options.callsModels }),
    });
    const started = await options.start(runtime, config);
    let isStopping = false;
    const probes =
      config.probePort === null
        ? null
        : await startProbeServer(
            {
              progress: runtime.progress,
              readiness: createReadiness({
                ...runtime,
                needsQueue: options.needsQueue ?? true,
                isStopping: () => isStopping,
              }),
              metrics: shareLook(lookMs, async () => ({
                type: runtime.metrics.registry.contentType,
                text: (await started.metrics?.()) ?? (await runtime.metrics.registry.metrics()),
              })),
              load: shareLook(lookMs, () => loadOfStages(runtime.db)),
              failed: (path, thrown) => runtime.log.warn({ event: "probe_failed", path, error: messageOf(thrown) }),
            },
            config.host,
            config.probePort,
          );
    // Before it says that it is ready: whoever reads that may stop it at once.
    const stopped = stopSignal();
    runtime.log.info({
      event: "ready",
      ...started.ready,
      ...(probes === null ? {} : { probePort: probes.port }),
    });
    await stopped;
    isStopping = true;
    runtime.log.info({ event: "draining" });
    await started.close?.();
    await runtime.close();
    await probes?.close();
    runtime.log.info({ event: "stopped" });
    process.exit(0);
  } catch (thrown) {
    const said = thrown instanceof OuterloopError || !(thrown instanceof Error) ? messageOf(thrown) : thrown.stack;
    process.stderr.write(redactor.said(`${options.name}: ${said}\n`));
    process.exit(1);
  }
}

/** Resolves at the first SIGTERM or SIGINT. A second one ends the process at once: claims run out by their lease. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        if (asked) process.exit(130);
        asked = true;
        resolve();
      });
    }
  });
}
