/**
 * The child's side of `queue/child-isolation.ts`: works on the one claim that it is told of, under its parent's lease, with
 * the same code as its parent would. Whatever tells it to go (the parent's word, the parent's end, a signal) lets the
 * running step finish and hands the rest back.
 */
import { readConfig, type Config } from "./config.ts";
import { messageOf } from "./domain/errors.ts";
import { toChildSchema, type FromChild } from "./queue/isolation-messages.ts";
import type { StageHandler } from "./queue/worker.ts";
import { openRuntime, type Runtime } from "./runtime.ts";

export async function runIsolated(
  service: string,
  createHandler: (runtime: Runtime, config: Config) => Promise<StageHandler>,
): Promise<void> {
  const draining = new AbortController();
  const config = readConfig();
  const drain = () => {
    if (draining.signal.aborted) return;
    draining.abort();
    // The claim runs out with the parent's lease, or its parent gives it back.
    setTimeout(() => process.exit(0), config.drainMs).unref();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, drain);
  // A parent that is gone renews nothing.
  process.on("disconnect", drain);
  const work = await new Promise<{ readonly id: string; readonly fence: number; readonly lease: Runtime["lease"] }>(
    (resolve) => {
      process.on("message", (raw) => {
        const message = toChildSchema.parse(raw);
        if (message.kind === "work") resolve(message);
        else drain();
      });
    },
  );

  const runtime = await openRuntime(config, { service, lease: work.lease });
  try {
    const handler = await createHandler(runtime, config);
    await tell({ kind: "began" });
    const run = await handler.takeUp(work.id, work.fence);
    await tell({ kind: "ended", failure: run === null ? null : await run(draining.signal) });
  } finally {
    await runtime.close().catch((thrown: unknown) => {
      runtime.log.warn({ event: "close_failed", error: messageOf(thrown) });
    });
  }
  process.exit(0);
}

/** Resolves when it was sent; to a parent that is gone nothing needs to be said. */
function tell(message: FromChild): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}
