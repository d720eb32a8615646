/** Kills and outages on a schedule: the scenarios are about time, so this is where time passes. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Deployment } from "../../support/deployments.ts";

/** Does `strike` every `everyMs` for `forMs`; the last one ends before it returns. */
export async function every(
  everyMs: number,
  forMs: number,
  strike: (round: number) => Promise<unknown>,
): Promise<number> {
  const begin = performance.now();
  const rounds = Math.floor(forMs / everyMs);
  for (let round = 0; round < rounds; round += 1) {
    await sleep(Math.max(begin + (round + 1) * everyMs - performance.now(), 0));
    await strike(round);
  }
  return rounds;
}

/** `kill -9` to one of these processes, which a supervisor starts again at once. Resolves with its name, before it is ready. */
export async function killAndRestart(deployment: Deployment, names: readonly string[]): Promise<string> {
  const name = names[Math.floor(Math.random() * names.length)]!;
  const victim = deployment.processes.get(name)!;
  victim.kill("SIGKILL");
  await victim.exited;
  void restart(deployment, name);
  return name;
}

/** Starts a process again under its name, again and again if it is killed before it is ready. */
export async function restart(
  deployment: Deployment,
  name: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  await deployment.start(name.replace(/-\d+$/, ""), name, env).catch(() => undefined);
}

export function workersOf(deployment: Deployment): string[] {
  return [...deployment.processes.keys()].filter((name) => name !== "ingress");
}
