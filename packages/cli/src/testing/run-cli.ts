/** The real command in a process of its own. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { ContractServer } from "@outerloop/client/testing";

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly ended: Promise<Ran>;
  interrupt(): void;
  closeOutput(): void;
}

export interface CliOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
}

const main = fileURLToPath(new URL("../main.ts", import.meta.url));

export function startCli(args: readonly string[], options: CliOptions): Running {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: options.cwd,
    env: {
      PATH: process.env["PATH"],
      HOME: options.cwd,
      OUTERLOOP_CWD: options.cwd,
      OUTERLOOP_DATA_DIR: `${options.cwd}/.outerloop`,
      ...options.env,
    },
  });
  child.stdin.end(options.stdin ?? "");
  // Nothing more can be read from an output that the test closed.
  const ended = Promise.all([
    text(child.stdout).catch(() => ""),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.on("close", resolve)),
  ]).then(([stdout, stderr, code]) => ({ code, stdout, stderr }));
  return { ended, interrupt: () => void child.kill("SIGINT"), closeOutput: () => child.stdout.destroy() };
}

export function runCli(args: readonly string[], options: CliOptions): Promise<Ran> {
  return startCli(args, options).ended;
}

/** What a command needs to find this server. */
export function envFor(server: ContractServer): NodeJS.ProcessEnv {
  return { OUTERLOOP_URL: server.url, OUTERLOOP_API_KEY: server.apiKey };
}
