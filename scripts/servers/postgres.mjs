// Starts one PostgreSQL on a data folder of its own, and stops it.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "../setup/alive.mjs";
import { answers, freePort, isProcess, lastLines, spawnServer, stopProcess } from "./process.mjs";

const startTimeoutMs = 60_000;

// A test's database need not outlive a power failure; without fsync a commit costs a fifth.
const testSettings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };
// Every test process has pools of its own.
const settings = { max_connections: "200", listen_addresses: "127.0.0.1", unix_socket_directories: "" };

/**
 * Where one server keeps its things: its data folder, its log, and the file with its superuser's password, which is
 * as old as the data.
 * @typedef {{data: string, log: string, passwordFile: string}} Place
 */

/**
 * The server that runs on that data, or undefined. Postgres' own pid file says where it is, so a start that was
 * interrupted loses nothing.
 * @param {Place} place
 * @returns {Promise<{pid: number, port: number, url: string} | undefined>}
 */
export async function runningPostgres({ data, passwordFile }) {
  const lines = readPidFile(data);
  const [pid, port] = [Number(lines?.[0]), Number(lines?.[3])];
  if (!pid || !isProcess(pid, data) || !(await answers(port))) return undefined;
  return { pid, port, url: `postgres://postgres:${fs.readFileSync(passwordFile, "utf8")}@127.0.0.1:${port}/postgres` };
}

/**
 * Starts PostgreSQL, creating its data first if need be; resolves once it accepts connections.
 * @param {{found: {bin: string, version: number}, place: Place, durable: boolean}} options
 */
export async function startPostgres({ found, place, durable }) {
  const { data, log } = place;
  if (!isInitialised(data)) initialise({ found, place, durable });
  else if (versionOf(data) !== found.version)
    throw new Error(`${data} belongs to PostgreSQL ${versionOf(data)}, found is ${found.version}: delete that folder`);
  await forgetDeadPostmaster(data);

  // The port may be taken between choosing and binding: another round then.
  for (let round = 1; ; round++) {
    const options = Object.entries({ ...settings, ...(durable ? {} : testSettings), port: String(await freePort()) });
    const args = ["-D", data, ...options.flatMap(([key, value]) => ["-c", `${key}=${value}`])];
    const server = spawnServer(join(found.bin, "postgres"), args, { log, ...ownerOfData() });
    const outcome = await Promise.race([server.ended, waitUntilReady(data, server.pid)]);
    if (outcome === "ready") return runningPostgres(place);
    if (outcome === "ended" && round < 3 && lastLines(log, 10).includes("in use")) continue;
    throw new Error(`PostgreSQL did not start:\n${lastLines(log, 10)}`);
  }
}

/** Fast shutdown: open transactions roll back. */
export async function stopPostgres(place) {
  const running = await runningPostgres(place);
  if (running !== undefined) await stopProcess(running.pid, place.data, ["SIGINT", "SIGQUIT"]);
}

function isInitialised(data) {
  return fs.existsSync(join(data, "PG_VERSION"));
}

function versionOf(data) {
  return Number(fs.readFileSync(join(data, "PG_VERSION"), "utf8"));
}

function initialise({ found, place: { data, passwordFile }, durable }) {
  // Built beside and renamed: an initdb that was interrupted leaves nothing that looks like a database.
  const building = `${data}.new`;
  const passwordForInitdb = `${data}.password`;
  const password = randomBytes(12).toString("hex");
  const as = ownerOfData();
  fs.rmSync(building, { recursive: true, force: true });
  fs.mkdirSync(building, { recursive: true, mode: 0o700 });
  for (const path of [passwordFile, passwordForInitdb]) fs.writeFileSync(path, password, { mode: 0o600 });
  if (as.uid !== undefined) for (const path of [building, passwordForInitdb]) fs.chownSync(path, as.uid, as.gid);
  const locale = process.platform === "linux" ? "C.UTF-8" : "en_US.UTF-8";
  const args = ["-D", building, "-U", "postgres", "--encoding=UTF8", `--locale=${locale}`, "--auth=scram-sha-256"];
  try {
    execFileSync(
      join(found.bin, "initdb"),
      [...args, `--pwfile=${passwordForInitdb}`, ...(durable ? [] : ["--no-sync"])],
      {
        ...as,
        cwd: "/",
        stdio: "pipe",
      },
    );
  } finally {
    fs.rmSync(passwordForInitdb, { force: true });
  }
  fs.renameSync(building, data);
}

// Postgres refuses to run as root; its package has made a user for it.
function ownerOfData() {
  if (process.getuid?.() !== 0) return {};
  const [uid, gid] = ["-u", "-g"].map((flag) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" })));
  return { uid, gid };
}

// Postgres takes a pid file for stale once no process has its pid. A killed postmaster keeps it until it is reaped,
// which some containers' first process never does.
async function forgetDeadPostmaster(data) {
  const pid = Number(readPidFile(data)?.[0]);
  if (!pid || isAlive(pid)) return;
  // Its children notice within moments that it has gone, and must not write beside its successor.
  await sleep(500);
  fs.rmSync(join(data, "postmaster.pid"), { force: true });
}

async function waitUntilReady(data, pid) {
  for (const until = Date.now() + startTimeoutMs; Date.now() < until; await sleep(50)) {
    const lines = readPidFile(data);
    // The eighth line is the postmaster's own word on its state.
    if (lines?.[0] === String(pid) && lines[7]?.trim() === "ready") return "ready";
  }
  return "late";
}

function readPidFile(data) {
  try {
    return fs.readFileSync(join(data, "postmaster.pid"), "utf8").split("\n");
  } catch {
    return undefined;
  }
}
