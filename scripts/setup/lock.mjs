// One process at a time, across processes: an exclusive lock held as a file.
//
// Not responsible for fairness or for network file systems. Node has no flock, so a holder that died is recognised
// by its pid, and one whose pid means nothing here (another container on the same folder) by a heartbeat gone quiet.
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "./alive.mjs";

const heartbeatMs = 1_000;
// Ten missed beats: a busy machine delays a timer by a second or two, hardly by ten.
const quietMs = 10_000;

/** Runs `work` while holding the lock at `path`; `onWait(owner)` is called once if someone else holds it. */
export async function withLock(path, onWait, work) {
  const owner = { pid: process.pid, host: hostname(), nonce: randomUUID() };
  await acquire(path, owner, onWait);
  const heartbeat = setInterval(() => beat(path), heartbeatMs);
  heartbeat.unref();
  const release = () => releaseIfMine(path, owner);
  process.once("exit", release);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    process.off("exit", release);
    release();
  }
}

// Ends when the lock is ours: a live holder finishes sooner or later, a dead one is noticed.
async function acquire(path, owner, onWait) {
  fs.mkdirSync(dirname(path), { recursive: true });
  for (let told = false; ; await sleep(150)) {
    if (create(path, owner)) return;
    const holder = read(path);
    if (holder === undefined) continue;
    if (isGone(holder)) {
      takeAway(path, holder);
      if (!create(path, owner)) continue;
      // Another process may have judged the same dead holder and taken away our lock instead: look again.
      await sleep(100);
      if (read(path)?.nonce === owner.nonce) return;
      continue;
    }
    if (!told) onWait(holder);
    told = true;
  }
}

function create(path, owner) {
  try {
    fs.writeFileSync(path, JSON.stringify(owner), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function read(path) {
  try {
    const beatAtMs = fs.statSync(path).mtimeMs;
    return { ...parse(fs.readFileSync(path, "utf8")), beatAtMs };
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

// Unreadable: its creator is between creating and writing, or died there; the heartbeat's age tells which.
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function isGone(holder) {
  if (Date.now() - holder.beatAtMs > quietMs) return true;
  return holder.host === hostname() && holder.pid !== undefined && !isAlive(holder.pid);
}

function takeAway(path, holder) {
  if (read(path)?.nonce === holder.nonce) fs.rmSync(path, { force: true });
}

function beat(path) {
  const now = new Date();
  // The folder may have been deleted under us; the work itself will say so.
  fs.utimes(path, now, now, () => {});
}

function releaseIfMine(path, owner) {
  if (read(path)?.nonce === owner.nonce) fs.rmSync(path, { force: true });
}
