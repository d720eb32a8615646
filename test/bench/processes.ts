/** Processes that are measured. Their log goes to a file, as an operator's does: whoever read it would cost CPU of this machine. */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const startTimeoutMs = 60_000;
const stopTimeoutMs = 30_000;
const lookMs = 20;

export interface BenchProcess {
  readonly name: string;
  readonly pid: number;
  /** The line by which it said that it is ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** SIGTERM, and SIGKILL where that does not help. */
  stop(): Promise<void>;
  /** At once, as a crash does; resolves when it has gone. */
  kill(): Promise<void>;
}

export interface ProcessOptions {
  readonly name: string;
  /** Relative to the checkout. */
  readonly main: string;
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where its log goes. */
  readonly folder: string;
  /** Flags of Node, as for a profile. */
  readonly nodeFlags?: readonly string[];
}

const started = new Set<ChildProcess>();

export async function startProcess(options: ProcessOptions): Promise<BenchProcess> {
  const log = join(options.folder, `${options.name}.log`);
  const out = openSync(log, "a");
  const child = spawn(process.execPath, [...(options.nodeFlags ?? []), options.main, ...(options.args ?? [])], {
    cwd: root,
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...options.env },
    stdio: ["ignore", out, out],
  });
  closeSync(out);
  started.add(child);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  void ended.then(() => started.delete(child));
  const stop = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    const deadline = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
    await ended;
    clearTimeout(deadline);
  };
  return {
    name: options.name,
    pid: child.pid ?? 0,
    ready: await untilReady(child, log, options.name),
    stop: () => stop("SIGTERM"),
    kill: () => stop("SIGKILL"),
  };
}

/** Ends whatever still runs, as when the bench is interrupted. */
export function endProcesses(): void {
  for (const child of started) child.kill("SIGKILL");
}

async function untilReady(child: ChildProcess, log: string, name: string): Promise<Readonly<Record<string, unknown>>> {
  for (const until = Date.now() + startTimeoutMs; Date.now() < until; await sleep(lookMs)) {
    const text = readFileSync(log, "utf8");
    const line = text.split("\n").findLast((each) => each.includes('"event":"ready"'));
    if (line !== undefined) return JSON.parse(line) as Readonly<Record<string, unknown>>;
    if (child.exitCode !== null) throw new Error(`${name} ended before it was ready:\n${text}`);
  }
  throw new Error(`${name} was not ready after ${startTimeoutMs / 1000} s`);
}
