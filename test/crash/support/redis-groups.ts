/** Several Redis servers that take over from one another: replicas under sentinels, and a Cluster. */
import { randomBytes } from "node:crypto";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { freePort } from "../../../scripts/servers/process.mjs";
import { startOwnRedis, startOwnSentinel, type OwnServer } from "./own-servers.ts";

export interface RedisGroup {
  /** For the processes of a deployment. */
  readonly env: Readonly<Record<string, string>>;
  /** Kills a master and resolves when another server has taken its place. */
  killMaster(): Promise<void>;
  /** Starts what was killed, and resolves when it follows the new master with all that this has. */
  startKilled(): Promise<void>;
  /** Kills all of it. */
  kill(): Promise<void>;
  close(): Promise<void>;
}

/** After this long without an answer a server counts as down; short, so that tests are. */
const downAfterMs = 1000;
const takeOverMs = 30_000;

/** A master, two replicas and three sentinels with a password of their own; before them is one that takes connections and says nothing. */
export async function startSentinelGroup(): Promise<RedisGroup> {
  const [requirepass, sentinelPassword] = [secret(), secret()];
  const servers: OwnServer[] = [];
  const sentinels: OwnServer[] = [];
  const silent = createServer().listen(0, "127.0.0.1");
  const close = async () => {
    silent.close();
    await Promise.all([...sentinels, ...servers].map((server) => server.close()));
  };
  try {
    const common = { requirepass, masterauth: requirepass, "repl-diskless-sync-delay": "0" };
    servers.push(await startOwnRedis(common));
    for (let count = 0; count < 2; count += 1)
      servers.push(await startOwnRedis({ ...common, replicaof: `127.0.0.1 ${servers[0]!.port}` }));
    for (let count = 0; count < 3; count += 1)
      sentinels.push(
        await startOwnSentinel(
          [
            `sentinel monitor main 127.0.0.1 ${servers[0]!.port} 2`,
            `sentinel auth-pass main ${requirepass}`,
            `sentinel down-after-milliseconds main ${downAfterMs}`,
            "sentinel failover-timeout main 3000",
            `sentinel sentinel-pass ${sentinelPassword}`,
          ],
          sentinelPassword,
        ),
      );
    const masterPort = () =>
      ask(sentinels[0]!, async (client) => {
        const [, port] = (await client.call("SENTINEL", "get-master-addr-by-name", "main")) as [string, string];
        return Number(port);
      });
    // Before they know one another and the replicas, they can elect nobody.
    await until(async () => {
      const known = await ask(sentinels[0]!, (client) => client.call("SENTINEL", "master", "main"));
      const fields = pairs(known as string[]);
      return fields.get("num-slaves") === "2" && fields.get("num-other-sentinels") === "2";
    }, "the sentinels know one another");
    let killed: OwnServer | undefined;
    return {
      env: {
        REDIS_URL: [(silent.address() as AddressInfo).port, ...sentinels.map((each) => each.port)]
          .map((port) => `redis://:${requirepass}@127.0.0.1:${port}`)
          .join(","),
        REDIS_MODE: "sentinel",
        REDIS_SENTINEL_NAME: "main",
        REDIS_SENTINEL_PASSWORD: sentinelPassword,
      },
      async killMaster() {
        const before = await masterPort();
        killed = servers.find((server) => server.port === before)!;
        await killed.kill();
        await until(async () => (await masterPort()) !== before, "the sentinels chose another master");
      },
      startKilled: async () => {
        await killed!.start();
        await until(() => isReplica(killed!), "what was killed follows the new master");
      },
      kill: async () => void (await Promise.all([...sentinels, ...servers].map((server) => server.kill()))),
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** Three masters with a replica each. */
export async function startClusterGroup(): Promise<RedisGroup> {
  const requirepass = secret();
  const servers: OwnServer[] = [];
  const close = () => Promise.all(servers.map((server) => server.close())).then(() => undefined);
  try {
    for (let count = 0; count < 6; count += 1)
      servers.push(
        await startOwnRedis({
          requirepass,
          masterauth: requirepass,
          "cluster-enabled": "yes",
          "cluster-port": String(await freePort()),
          "cluster-node-timeout": String(downAfterMs),
          "repl-diskless-sync-delay": "0",
        }),
      );
    const masters = servers.slice(0, 3);
    const slots = 16_384;
    for (const [index, server] of masters.entries()) {
      const [first, last] = [0, 1].map((next) => Math.floor((slots * (index + next)) / masters.length));
      await ask(server, (client) => client.call("CLUSTER", "ADDSLOTSRANGE", first!, last! - 1));
    }
    for (const [index, server] of servers.entries())
      await ask(server, async (client) => {
        await client.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
        const busPort = String(await ask(servers[0]!, (first) => first.config("GET", "cluster-port"))).split(",")[1]!;
        if (index > 0) await client.call("CLUSTER", "MEET", "127.0.0.1", servers[0]!.port, busPort);
      });
    const allAgree = async () => {
      const infos = await Promise.all(servers.map((server) => ask(server, (client) => client.call("CLUSTER", "INFO"))));
      return infos.every((info) => /cluster_state:ok/.test(String(info)) && /cluster_known_nodes:6/.test(String(info)));
    };
    await until(allAgree, "the nodes know one another");
    for (const [index, replica] of servers.slice(3).entries()) {
      const id = await ask(masters[index]!, (client) => client.call("CLUSTER", "MYID"));
      await ask(replica, (client) => client.call("CLUSTER", "REPLICATE", String(id)));
    }
    await until(
      async () => (await Promise.all(servers.slice(3).map(isReplica))).every(Boolean),
      "every master has its replica",
    );
    let killed: OwnServer | undefined;
    return {
      env: {
        // Any of them knows the others.
        REDIS_URL: [servers[0]!, servers[4]!].map((each) => `redis://:${requirepass}@127.0.0.1:${each.port}`).join(","),
        REDIS_MODE: "cluster",
      },
      async killMaster() {
        // The one with the jobs to execute: where it hurts.
        const witness = servers.find((server) => server !== killed)!;
        const slot = Number(await ask(witness, (client) => client.call("CLUSTER", "KEYSLOT", "{outerloop:execute}")));
        const ownerPort = async (asked: OwnServer) => {
          const ranges = (await ask(asked, (client) => client.call("CLUSTER", "SLOTS"))) as [
            number,
            number,
            [string, number],
          ][];
          return ranges.find(([first, last]) => first <= slot && slot <= last)?.[2][1];
        };
        const before = await ownerPort(witness);
        killed = servers.find((server) => server.port === before)!;
        const other = servers.find((server) => server !== killed)!;
        await killed.kill();
        await until(async () => {
          const now = await ownerPort(other);
          const info = String(await ask(other, (client) => client.call("CLUSTER", "INFO")));
          return now !== before && /cluster_state:ok/.test(info);
        }, "the replica took its master's place");
      },
      startKilled: async () => {
        await killed!.start();
        await until(() => isReplica(killed!), "what was killed follows the new master");
      },
      kill: async () => void (await Promise.all(servers.map((server) => server.kill()))),
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

async function isReplica(server: OwnServer): Promise<boolean> {
  return /master_link_status:up/.test(await ask(server, (client) => client.info("replication")));
}

function secret(): string {
  return randomBytes(12).toString("hex");
}

/** A flat list of names and values, as RESP2 has maps. */
function pairs(flat: readonly string[]): ReadonlyMap<string, string> {
  return new Map(flat.flatMap((each, index) => (index % 2 === 0 ? [[each, flat[index + 1]!] as const] : [])));
}

async function ask<Result>(server: OwnServer, question: (client: Redis) => Promise<Result>): Promise<Result> {
  const client = new Redis(server.url, { retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on("error", () => undefined);
  try {
    return await question(client);
  } finally {
    client.disconnect();
  }
}

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + takeOverMs; Date.now() < end; await sleep(50))
    if (await holds().catch(() => false)) return;
  throw new Error(`not so after ${takeOverMs / 1000} s: ${what}`);
}
