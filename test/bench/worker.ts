/**
 * node test/bench/worker.ts planner|executor|reflector|embedded: the service as its own main runs it, but for who answers
 * where no key is set. `OUTERLOOP_BENCH_DELAY_MS` is how long a model call takes. `offline` is `embedded` with the model
 * that answers there otherwise.
 */
import { readConfig, runService, stopSignal } from "@outerloop/core";
import { createBenchProvider } from "./provider.ts";

const offline = createBenchProvider(Number(process.env["OUTERLOOP_BENCH_DELAY_MS"] ?? "0"));
const name = process.argv[2];

// Loaded one at a time: a process's memory is that of its own service.
switch (name) {
  case "planner":
    await runService({ ...(await import("@outerloop/planner")).plannerService, offline });
    break;
  case "executor":
    await runService({ ...(await import("@outerloop/executor")).executorService, offline });
    break;
  case "reflector":
    await runService({ ...(await import("@outerloop/reflector")).reflectorService, offline });
    break;
  case "embedded":
    await runEmbedded({ offline });
    break;
  case "offline":
    await runEmbedded({});
    break;
  default:
    throw new Error(`no service is called ${name}`);
}

async function runEmbedded(answering: { readonly offline?: typeof offline }): Promise<void> {
  const { startEmbedded } = await import("@outerloop/embedded");
  const server = await startEmbedded(readConfig(), { ...answering, fallbackPort: false });
  const stopped = stopSignal();
  server.runtime.log.info({ event: "ready", url: server.url });
  await stopped;
  await server.close();
  process.exit(0);
}
