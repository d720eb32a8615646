// The development servers of this checkout: one PostgreSQL and one Valkey/Redis per mode, shared by all who need them.
//
// Not responsible for what is in them. Invariants:
//  1. At most one pair per mode: who starts or stops holds the mode's lock.
//  2. A pair started for tests stops when its last user has gone, also if that one was killed: users are pids, and
//     dead ones don't count. A pair started by hand stays until it is stopped by hand.
import fs from "node:fs";
import { isAlive } from "../setup/alive.mjs";
import { withLock } from "../setup/lock.mjs";
import { findPostgres, findRedis } from "./find.mjs";
import { deleteDataOfGoneCheckouts } from "./gone-checkouts.mjs";
import { howToInstall, installMissing, whatIsMissing } from "./install.mjs";
import { modePath, outsidePath, postgresDataPath } from "./paths.mjs";
import { runningPostgres, startPostgres, stopPostgres } from "./postgres.mjs";
import { runningRedis, startRedis, stopRedis } from "./redis.mjs";

/**
 * Makes sure that the servers run. With `until: "released"` this process counts as their user until it calls
 * `release` or ends; with "stopped" they stay until `stopServers`. `prepare` runs while no other process can become
 * a user; its `first` says that there is none now, so what earlier ones left behind can go.
 * @param {import("./dev-servers.d.mts").EnsureOptions} options
 * @returns {Promise<import("./dev-servers.d.mts").EnsuredServers>}
 */
export async function ensureServers({ mode, until, prepare = async () => {} }) {
  await installMissing();
  const missing = whatIsMissing();
  if (missing !== undefined) return { kind: "missing", why: missing, howTo: howToInstall };
  return locked(mode, async () => {
    const { users, pinned } = readUse(mode);
    // Written first: a start that is interrupted leaves servers behind that count a user who is gone.
    if (until === "released") writeUse(mode, { users: [...new Set([...users, process.pid])], pinned });
    else writeUse(mode, { users, pinned: true });
    try {
      const servers = await startWhatIsDown(mode);
      await prepare({ ...servers, first: users.length === 0 });
      return { kind: "available", ...servers, release: () => locked(mode, () => release(mode)) };
    } catch (error) {
      writeUse(mode, { ...readUse(mode), pinned });
      await release(mode);
      throw error;
    }
  });
}

/** The running servers with their URLs, or undefined if one of them is down. */
export async function runningServers(mode) {
  const places = placesOf(mode);
  const [postgres, redis] = await Promise.all([runningPostgres(places.postgres), runningRedis(places.redis)]);
  return postgres && redis && { databaseUrl: postgres.url, redisUrl: redis.url, postgres, redis };
}

/** Stops the servers, whoever uses them. */
export async function stopServers(mode) {
  await locked(mode, () => stopBoth(mode));
}

async function startWhatIsDown(mode) {
  await deleteDataOfGoneCheckouts(outsidePath);
  const places = placesOf(mode);
  const durable = mode === "durable";
  const postgres =
    (await runningPostgres(places.postgres)) ??
    (await startPostgres({ found: findPostgres(), place: places.postgres, durable }));
  const redis =
    (await runningRedis(places.redis)) ?? (await startRedis({ program: findRedis(), place: places.redis, durable }));
  return { databaseUrl: postgres.url, redisUrl: redis.url };
}

async function release(mode) {
  const use = readUse(mode);
  const users = use.users.filter((pid) => pid !== process.pid);
  if (users.length === 0 && !use.pinned) await stopBoth(mode);
  else writeUse(mode, { ...use, users });
}

async function stopBoth(mode) {
  const places = placesOf(mode);
  await Promise.all([stopPostgres(places.postgres), stopRedis(places.redis)]);
  writeUse(mode, { users: [], pinned: false });
}

function placesOf(mode) {
  const folder = modePath(mode);
  const data = postgresDataPath(mode);
  return {
    postgres: { data, log: `${folder}/postgres.log`, passwordFile: `${data}-password` },
    redis: { folder: `${folder}/redis`, log: `${folder}/redis.log`, addressFile: `${folder}/redis-address.json` },
  };
}

function locked(mode, work) {
  return withLock(`${modePath(mode)}/lock`, () => {}, work);
}

// Who uses the servers: pids of those alive, and whether somebody started them by hand.
function readUse(mode) {
  const path = `${modePath(mode)}/use.json`;
  const { users, pinned } = fs.existsSync(path)
    ? JSON.parse(fs.readFileSync(path, "utf8"))
    : { users: [], pinned: false };
  return { users: users.filter(isAlive), pinned };
}

function writeUse(mode, use) {
  const path = `${modePath(mode)}/use.json`;
  fs.writeFileSync(`${path}.new`, `${JSON.stringify(use)}\n`);
  fs.renameSync(`${path}.new`, path);
}
