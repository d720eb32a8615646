// Runs pnpm, which nobody has to have: npm's `exec` fetches the version that package.json names.
//
// npm and pnpm write for a person at a prompt (notices, warnings, their own progress); none of it reaches the user.
// What an install does is read from pnpm's ndjson reporter instead.
import { spawn } from "node:child_process";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { rootPath } from "./root.mjs";
import { SetupError, explainInstallFailure } from "./setup-error.mjs";

/** Runs pnpm with `args`; calls `onEvent` with each ndjson event. Throws a SetupError that says what to do. */
export async function runPnpm(args, onEvent) {
  const [command, commandArgs] = npmExec([pnpmSpec(), "pnpm", ...args, "--reporter=ndjson"]);
  const env = {
    ...process.env,
    npm_config_update_notifier: "false",
    npm_config_loglevel: "error",
    npm_config_yes: "true",
  };
  const child = spawn(command, commandArgs, { cwd: rootPath, env, stdio: ["ignore", "pipe", "pipe"] });
  // npm passes it on to pnpm: nothing goes on writing once we are gone and our lock is free.
  const stop = () => child.kill();
  process.once("exit", stop);
  const other = [];
  const errors = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      const event = parseEvent(line);
      if (event === undefined) other.push(line);
      else if (event.level === "error")
        errors.push(`${event.code ?? ""} ${event.message ?? event.err?.message ?? ""}`.trim());
      else onEvent(event);
    });
  }
  const { code, error } = await new Promise((resolve) => {
    child.on("error", (error) => resolve({ error }));
    child.on("close", (code, signal) => resolve({ code: code ?? signal }));
  });
  process.off("exit", stop);
  if (error?.code === "ENOENT") throw noNpm();
  if (error) throw error;
  if (code !== 0) throw explainInstallFailure(errors.length > 0 ? errors : other.slice(-15));
}

function parseEvent(line) {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function pnpmSpec() {
  return JSON.parse(fs.readFileSync(`${rootPath}package.json`, "utf8")).packageManager;
}

// npm tells its scripts where it lives; a script started by hand finds it beside Node, else on PATH.
function npmExec([spec, ...command]) {
  const args = ["exec", "--yes", `--package=${spec}`, "--", ...command];
  const candidates = [
    process.env.npm_execpath,
    join(dirname(process.execPath), "../lib/node_modules/npm/bin/npm-cli.js"),
    join(dirname(process.execPath), "node_modules/npm/bin/npm-cli.js"),
  ];
  const cli = candidates.find((path) => path?.endsWith("npm-cli.js") && fs.existsSync(path));
  return cli === undefined ? ["npm", args] : [process.execPath, [cli, ...args]];
}

function noNpm() {
  return new SetupError(
    "npm was not found.",
    "Install Node.js with npm (nodejs.org, or your system's npm package), then try again.",
  );
}
