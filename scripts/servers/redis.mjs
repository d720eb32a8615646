// Starts one Valkey or Redis on a folder of its own, and stops it.
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, lastLines, spawnServer } from "./process.mjs";

const startTimeoutMs = 15_000;
const stopTimeoutMs = 10_000;
// Tests take a database each; see test/support/servers.ts.
const databases = 1024;

/**
 * Where one server keeps its things: its data folder, its log, and the file with its port and password.
 * @typedef {{folder: string, log: string, addressFile: string}} Place
 */

/**
 * The server that was started at that place, or undefined if it does not answer.
 * @param {Place} place
 * @returns {Promise<{port: number, url: string} | undefined>}
 */
export async function runningRedis({ addressFile }) {
  const address = readAddress(addressFile);
  if (address === undefined || !(await ask(address, "PING", "+PONG"))) return undefined;
  return { port: address.port, url: `redis://:${address.password}@127.0.0.1:${address.port}` };
}

/**
 * Starts Valkey or Redis; resolves once it answers.
 * @param {{program: string, place: Place, durable: boolean}} options
 */
export async function startRedis({ program, place, durable }) {
  fs.mkdirSync(place.folder, { recursive: true });
  // The port may be taken between choosing and binding: another round then.
  for (let round = 1; ; round++) {
    const address = { port: await freePort(), password: randomBytes(12).toString("hex") };
    // Before it starts: one whose address nobody knew could not be stopped.
    fs.writeFileSync(place.addressFile, JSON.stringify(address), { mode: 0o600 });
    const configuration = [
      `port ${address.port}`,
      "bind 127.0.0.1",
      `dir "${place.folder}"`,
      `requirepass ${address.password}`,
      `databases ${databases}`,
      // Queues are no cache: full is an error, never a key dropped silently.
      "maxmemory-policy noeviction",
      ...(durable ? ["appendonly yes"] : ["appendonly no", 'save ""']),
    ].join("\n");
    // On standard input, because a password on the command line can be read by everybody.
    const server = spawnServer(program, ["-"], { log: place.log, input: configuration });
    const outcome = await Promise.race([server.ended, waitUntilAnswering(place)]);
    if (outcome === "ended" && round < 3 && lastLines(place.log, 10).includes("in use")) continue;
    if (outcome === "ended" || outcome === undefined)
      throw new Error(`${program} did not start:\n${lastLines(place.log, 10)}`);
    return outcome;
  }
}

export async function stopRedis(place) {
  const address = readAddress(place.addressFile);
  if (address === undefined) return;
  await ask(address, "SHUTDOWN", "never");
  for (const until = Date.now() + stopTimeoutMs; Date.now() < until; await sleep(30))
    if (!(await runningRedis(place))) return;
}

function readAddress(file) {
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : undefined;
}

async function waitUntilAnswering(place) {
  for (const until = Date.now() + startTimeoutMs; Date.now() < until; await sleep(30)) {
    const running = await runningRedis(place);
    if (running !== undefined) return running;
  }
  return undefined;
}

// Sends the password first, so whoever happens to have that port now does not pass for our server, nor is shut down.
function ask({ port, password }, command, expected) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.setTimeout(2_000, () => socket.destroy());
    let reply = "";
    socket.on("connect", () => socket.write(`AUTH ${password}\r\n`));
    socket.on("data", (chunk) => {
      const before = reply;
      reply += chunk;
      if (before === "" && reply.startsWith("+OK")) socket.write(`${command}\r\n`);
      else socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(reply.includes(expected)));
  });
}
