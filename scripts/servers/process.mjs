// What starting and stopping a server process takes.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "../setup/alive.mjs";

const graceMs = 10_000;

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * Starts a server that outlives this process; `input` is what it reads. `ended` resolves to "ended" if it ends.
 * @param {{log: string, input?: string, uid?: number, gid?: number}} options
 */
export function spawnServer(program, args, { log, input, uid, gid }) {
  const out = fs.openSync(log, "a");
  const owner = uid === undefined ? {} : { uid, gid };
  const child = spawn(program, args, {
    ...owner,
    cwd: "/",
    detached: true,
    stdio: [input === undefined ? "ignore" : "pipe", out, out],
  });
  fs.closeSync(out);
  child.stdin?.on("error", () => {}).end(input);
  child.unref();
  const ended = new Promise((resolve) =>
    child.once("exit", () => resolve("ended")).once("error", () => resolve("ended")),
  );
  return { pid: child.pid, ended };
}

/** Whether something accepts connections there. */
export function answers(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on("connect", () => resolve(true) || socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve(false));
  });
}

/** Whether `pid` runs and, if `sign` is given, has it on its command line: pids are used again. */
export function isProcess(pid, sign) {
  if (!isAlive(pid)) return false;
  return sign === undefined || commandLine(pid).includes(sign);
}

function commandLine(pid) {
  try {
    if (fs.existsSync("/proc/self/cmdline"))
      return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
    return execFileSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" });
  } catch {
    return "";
  }
}

/** Sends the signals one after the other, each with time to work, until the process has gone. */
export async function stopProcess(pid, sign, signals) {
  for (const signal of signals) {
    if (!isProcess(pid, sign)) return;
    process.kill(pid, signal);
    for (const until = Date.now() + graceMs; Date.now() < until; await sleep(30)) if (!isProcess(pid, sign)) return;
  }
}

export function lastLines(path, count) {
  return fs.existsSync(path) ? fs.readFileSync(path, "utf8").trim().split("\n").slice(-count).join("\n") : "";
}
