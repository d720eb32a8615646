// Runs one of our mains on the right Node, and stands between it and the terminal.
//
// Why a process in between: the Node that npm runs may be too old, and one Ctrl-C reaches npm's script twice, from
// the terminal and again from npm. The child lives in a process group of its own, so it hears only what is passed on
// from here: every burst of signals once.
import { spawn } from "node:child_process";
import { nodeBinary } from "../setup/node-binary.mjs";
import { rootPath } from "../setup/root.mjs";

// The copies of one Ctrl-C arrive within milliseconds, more on a busy machine; a person's second press takes longer.
const burstMs = 250;

/** Runs `main` (relative to the checkout) with `args`, and ends this process as it ended. */
export function runMain(main, args) {
  const watch = new URL("./die-with-parent.mjs", import.meta.url).href;
  const child = spawn(nodeBinary(), ["--import", watch, main, ...args], {
    cwd: rootPath,
    env: { ...process.env, OUTERLOOP_CWD: standingIn(), OUTERLOOP_PARENT_FD: "3" },
    stdio: ["inherit", "inherit", "inherit", "pipe"],
    detached: process.platform !== "win32",
  });
  const stopPassingOn = passSignalsOn(child);
  child.on("error", (error) => {
    process.stderr.write(`${nodeBinary()} could not be started: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    stopPassingOn();
    if (signal === null) process.exit(code);
    process.kill(process.pid, signal);
  });
}

// npm runs scripts in the package's root and says where the user stands.
function standingIn() {
  return (process.env.npm_lifecycle_event && process.env.INIT_CWD) || process.cwd();
}

function passSignalsOn(child) {
  const passedAt = new Map();
  const once = (signal) => {
    const now = performance.now();
    if (now - (passedAt.get(signal) ?? -Infinity) < burstMs) return;
    passedAt.set(signal, now);
    child.kill(signal);
  };
  const handlers = {
    SIGINT: once,
    SIGTERM: once,
    SIGHUP: once,
    SIGWINCH: (signal) => child.kill(signal),
    // Ctrl-Z stops the child with us, `fg` wakes both.
    SIGTSTP: () => {
      child.kill("SIGSTOP");
      process.kill(process.pid, "SIGSTOP");
    },
    SIGCONT: (signal) => child.kill(signal),
  };
  const entries = process.platform === "win32" ? [] : Object.entries(handlers);
  for (const [signal, handler] of entries) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of entries) process.off(signal, handler);
  };
}
