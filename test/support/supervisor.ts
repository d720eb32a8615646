/** Starts a service again whenever its process ends, as an orchestrator does. */
import type { Deployment } from "./deployments.ts";

export interface Supervisor {
  /** How each process ended that it replaced. */
  readonly ends: readonly (number | NodeJS.Signals)[];
  /** Resolves when nothing is started any more. */
  stop(): Promise<void>;
}

export function supervise(
  deployment: Deployment,
  service: string,
  name: string,
  env: Readonly<Record<string, string>> = {},
): Supervisor {
  const ends: (number | NodeJS.Signals)[] = [];
  let isStopping = false;
  const stopped = Promise.withResolvers<void>();
  const watching = (async () => {
    // Ends when it is stopped.
    for (;;) {
      const running = await deployment.start(service, name, env);
      const end = await Promise.race([running.exited, stopped.promise]);
      if (isStopping || end === undefined) return;
      ends.push(end);
    }
  })();
  return {
    ends,
    async stop() {
      isStopping = true;
      stopped.resolve();
      await watching;
    },
  };
}
