/** Real processes for tests: services started as a deployment starts them, watched by their log lines, killed for real. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface LogLine {
  readonly event?: string;
  readonly [key: string]: unknown;
}

export interface ServiceProcess {
  readonly name: string;
  readonly pid: number;
  /** Its log so far. */
  readonly lines: readonly LogLine[];
  /** Everything it wrote that was no log line. */
  readonly text: () => string;
  /** Resolves with the first line that matches, past or to come; rejects when the process ends without one. */
  until(matches: (line: LogLine) => boolean, what: string): Promise<LogLine>;
  kill(signal: NodeJS.Signals): void;
  /** Exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
}

/** Everything that a test started, ended when it ends, however it ends. */
const started = new Set<ChildProcess>();

/**
 * @param main relative to the checkout, `services/executor/src/main.ts`
 * @param checkout another than this one
 */
export function startProcess(
  name: string,
  main: string,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  checkout = root,
): ServiceProcess {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: checkout,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: process.env["HOME"] ?? "",
      NODE_OPTIONS: process.env["NODE_OPTIONS"] ?? "",
      OUTERLOOP_LOG_LEVEL: "info",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return watchProcess(name, child);
}

/** Reads the log of a process that was started with its output piped; it is ended with the others. */
export function watchProcess(name: string, child: ChildProcess): ServiceProcess {
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error(`${name}: its output is not piped`);
  started.add(child);
  const lines: LogLine[] = [];
  let other = "";
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const each of waiting) each();
  };
  for (const stream of [stdout, stderr]) {
    createInterface({ input: stream }).on("line", (text) => {
      const line = parseLine(text);
      if (line === null) other += `${text}\n`;
      else lines.push(line);
      wake();
    });
  }
  let ended = false;
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("close", (code, signal) => {
      ended = true;
      started.delete(child);
      resolve(signal ?? code ?? 1);
      wake();
    });
  });
  return {
    name,
    pid: child.pid ?? 0,
    lines,
    text: () => other,
    exited,
    kill: (signal) => void child.kill(signal),
    until: (matches, what) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find(matches);
          if (found === undefined && !ended) return;
          waiting.delete(look);
          if (found !== undefined) resolve(found);
          else
            reject(
              new Error(
                `${name} ended before ${what}:\n${other}\n${lines.map((line) => JSON.stringify(line)).join("\n")}`,
              ),
            );
        };
        waiting.add(look);
        look();
      }),
  };
}

export const isReady = (line: LogLine) => line.event === "ready";

function parseLine(text: string): LogLine | null {
  if (!text.startsWith("{")) return null;
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return null;
  }
}

/** Ends whatever still runs. */
export async function endProcesses(): Promise<void> {
  const ending = [...started].map((child) => new Promise((resolve) => child.once("close", resolve)));
  for (const child of started) child.kill("SIGKILL");
  await Promise.all(ending);
}
