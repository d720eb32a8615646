/**
 * W9, W12: a thousand watchers cost what one does, whether Redis keeps the recent events, keeps a part of them, forgets
 * them or is away: every one of them sees each event once and in order. Who is not watched costs Redis a message.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRuntime, readConfig, type Runtime } from "@outerloop/core";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startIngress, type Ingress } from "../../services/ingress/src/server.ts";
import { realSizes } from "../support/deployments.ts";
import { cloneDatabase, describeWithServers, redisDatabase } from "../support/servers.ts";
import { startWire, type Wire } from "../support/wire.ts";

const apiKey = "ol_a_key_for_watchers";
const crowd = 1000;
/** What Redis keeps of a goal, about. */
const kept = 200;

interface Watching {
  /** The numbers that came, in their order. */
  readonly ids: number[];
  readonly ended: Promise<void>;
  leave(): void;
}

for (const size of realSizes)
  describeWithServers(`watchers on ${size}`, () => {
    let folder: string;
    let env: Record<string, string>;
    let wire: Wire | undefined;
    let ingressRuntime: Runtime;
    /** The process that commits. */
    let worker: Runtime;
    let ingress: Ingress;
    let redis: Redis | undefined;
    const agent = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });
    /** Statements of the ingress but for its upkeep. */
    let queries = 0;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "outerloop-watchers-"));
      env = {
        DATABASE_URL: (await cloneDatabase()).url,
        OUTERLOOP_DATA_DIR: folder,
        OUTERLOOP_API_KEY: apiKey,
        OUTERLOOP_RECENT_EVENTS: String(kept),
        OUTERLOOP_LOG_LEVEL: "silent",
      };
      if (size === "redis") {
        const url = await redisDatabase();
        redis = new Redis(url);
        wire = await startWire(url);
        env["REDIS_URL"] = wire.url;
      }
      const config = readConfig(env);
      ingressRuntime = await openRuntime(config, { service: "ingress", listens: true });
      worker = await openRuntime(config, { service: "worker" });
      countQueries(ingressRuntime, (text) => {
        if (/from "(events|goals|api_keys)"/.test(text)) queries += 1;
      });
      const { ensureFirstKey } = await import("../../services/ingress/src/first-key.ts");
      await ensureFirstKey(ingressRuntime);
      ingress = await startIngress(ingressRuntime, { host: "127.0.0.1", port: 0, maxWatchers: 3 * crowd });
    }, 60_000);
    afterAll(async () => {
      await ingress?.close();
      await ingressRuntime?.close();
      await worker?.close();
      agent.destroy();
      redis?.disconnect();
      await wire?.cut();
      await rm(folder, { recursive: true, force: true });
    }, 60_000);

    async function call(path: string, body?: unknown): Promise<{ readonly id: string }> {
      const response = await fetch(`${ingress.url}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      expect(response.ok, await response.clone().text()).toBe(true);
      return (await response.json()) as { id: string };
    }

    /** As a worker's commit does it: in Postgres, then told. */
    async function append(goal: string, count: number): Promise<number> {
      const events = Array.from({ length: count }, () => ({ type: "step.tool", data: { text: "x".repeat(100) } }));
      const { rows } = await worker.database.pool.query("SELECT append_events($1, $2::jsonb)::integer AS newest", [
        goal,
        JSON.stringify(events),
      ]);
      const { newest } = rows[0] as { newest: number };
      worker.bus.publish(goal, newest);
      return newest;
    }

    /** A thousand at once overrun the backlog of a listening socket: who is cut off comes again, as clients do. */
    const watch = (goal: string, after: number, at = ingress.url): Promise<Watching> =>
      open(goal, after, at).catch((thrown: NodeJS.ErrnoException) => {
        if (thrown.code !== "ECONNRESET") throw thrown;
        return watch(goal, after, at);
      });
    function open(goal: string, after: number, at: string): Promise<Watching> {
      return new Promise((resolve, reject) => {
        const asking = request(
          `${at}/v1/goals/${goal}/events`,
          {
            agent,
            headers: { authorization: `Bearer ${apiKey}`, ...(after > 0 ? { "last-event-id": String(after) } : {}) },
          },
          (response: IncomingMessage) => {
            if (response.statusCode !== 200) return reject(new Error(`answered ${response.statusCode}`));
            const ids: number[] = [];
            let rest = "";
            response.setEncoding("utf8").on("data", (text: string) => {
              const lines = (rest + text).split("\n");
              rest = lines.pop() ?? "";
              for (const line of lines) if (line.startsWith("id: ")) ids.push(Number(line.slice(4)));
            });
            const ended = new Promise<void>((end) => response.on("close", () => end()));
            resolve({ ids, ended, leave: () => asking.destroy() });
          },
        );
        asking.on("error", reject);
        asking.end();
      });
    }

    const numbers = (after: number, newest: number) =>
      Array.from({ length: newest - after }, (_, index) => after + index + 1);
    const all = <Value>(of: (index: number) => Promise<Value>) =>
      Promise.all(Array.from({ length: crowd }, (_, index) => of(index)));
    async function expectAll(watching: readonly Watching[], after: (index: number) => number, newest: number) {
      await vi.waitFor(
        () => {
          const behind = watching.filter((each, index) => (each.ids.at(-1) ?? after(index)) < newest).length;
          expect(behind).toBe(0);
        },
        { timeout: 20_000, interval: 50 },
      );
      for (const [index, each] of watching.entries()) expect(each.ids).toEqual(numbers(after(index), newest));
    }

    test("a thousand who come, follow and come back to a running goal cost some dozens of queries", async () => {
      const { id } = await call("/v1/goals", { text: "watched" });
      const newest = await append(id, 150);
      const spread = (index: number) => index % 150;
      queries = 0;
      const first = await all((index) => watch(id, spread(index)));
      await expectAll(first, spread, newest);
      const coming = queries;
      let last = newest;
      for (let n = 0; n < 10; n++) {
        last = await append(id, 5);
        await vi.waitFor(() => expect(first[0]!.ids.at(-1)).toBe(last), { timeout: 5000, interval: 5 });
      }
      await expectAll(first, spread, last);
      const following = queries - coming;
      for (const each of first) each.leave();
      const second = await all((index) => watch(id, last - (index % 60)));
      await expectAll(second, (index) => last - (index % 60), last);
      const comingBack = queries - coming - following;
      await call(`/v1/goals/${id}/cancel`);
      await Promise.all(second.map((each) => each.ended));
      expect(new Set(second.map((each) => each.ids.at(-1)))).toEqual(new Set([last + 1]));
      process.stdout.write(`${size}: coming ${coming}, following ${following}, coming back ${comingBack} queries\n`);
      expect(coming).toBeLessThan(40);
      expect(following).toBeLessThan(60);
      expect(comingBack).toBeLessThan(40);
    }, 90_000);

    test("a thousand who come back to more than Redis keeps share one read a page", async () => {
      const { id } = await call("/v1/goals", { text: "long" });
      for (let n = 0; n < 10; n++) await append(id, 500);
      const newest = 5001;
      const spread = (index: number) => (index * 37) % 5000;
      queries = 0;
      const watching = await all((index) => watch(id, spread(index)));
      await expectAll(watching, spread, newest);
      process.stdout.write(`${size}: ${queries} queries for 5,001 events\n`);
      // 51 pages, the goal, the key.
      expect(queries).toBeLessThan(90);
      for (const each of watching) each.leave();
    }, 90_000);

    if (size === "redis") {
      test("what Redis forgets in the middle is read from Postgres: no gap, no repeat", async () => {
        const { id } = await call("/v1/goals", { text: "forgotten" });
        const watching = await Promise.all(numbers(0, 20).map(() => watch(id, 0)));
        for (let n = 0; n < 20; n++) {
          await append(id, 10);
          if (n % 5 === 2) await redis!.flushdb();
          if (n % 4 === 0) watching.push(await watch(id, n));
        }
        const after = (index: number) => (index < 20 ? 0 : (index - 20) * 4);
        await expectAll(watching, after, 201);
        // And it keeps them again: what comes after begins the stream anew.
        await append(id, 3);
        await vi.waitFor(async () => expect((await ingressRuntime.bus.recent(id, 201, 100))?.length).toBe(3));
        for (const each of watching) each.leave();
      }, 60_000);

      test("Redis away: watchers see everything late, and at once again when it is back", async () => {
        const { id } = await call("/v1/goals", { text: "away" });
        const watching = await Promise.all(numbers(0, 20).map(() => watch(id, 0)));
        await append(id, 20);
        await expectAll(watching, () => 0, 21);
        await wire!.cut();
        await append(id, 20);
        watching.push(await watch(id, 0));
        await expectAll(watching, () => 0, 41);
        await wire!.mend();
        // And it keeps them again, from where it was back: what came meanwhile is in Postgres.
        await vi.waitFor(
          async () => {
            const last = await append(id, 1);
            await vi.waitFor(async () => expect(await ingressRuntime.bus.recent(id, last - 1, 5)).toHaveLength(1));
          },
          { timeout: 15_000, interval: 300 },
        );
        const newest = await append(id, 1);
        await expectAll(watching, () => 0, newest);
        for (const each of watching) each.leave();
      }, 60_000);

      test("a goal's stream keeps about as many events as it is set to, for as long as it is set to", async () => {
        const { id } = await call("/v1/goals", { text: "capped" });
        const watching = await watch(id, 0);
        for (let n = 0; n < 10; n++) {
          const newest = await append(id, 100);
          await vi.waitFor(async () => expect(await ingressRuntime.bus.recent(id, newest, 1)).toEqual([]));
        }
        watching.leave();
        const [key] = await redis!.keys(`*:recent:${id}`);
        const length = await redis!.xlen(key!);
        expect(length).toBeGreaterThanOrEqual(kept);
        // Trimmed a node of a hundred at a time.
        expect(length).toBeLessThan(kept + 101);
        expect(await redis!.pttl(key!)).toBeGreaterThan(3_500_000);
        expect(await ingressRuntime.bus.recent(id, 1, 10)).toBeNull();
      });

      test("a goal that nobody watches costs Redis its messages, and who comes to it then sees all of it", async () => {
        const { id } = await call("/v1/goals", { text: "unwatched" });
        const first = await watch(id, 0);
        await expectAll([first], () => 0, await append(id, 30));
        first.leave();
        const [key] = await redis!.keys(`*:recent:${id}`);
        await vi.waitFor(async () => expect(await redis!.xlen(key!)).toBe(31));
        const [ofWorker, ofIngress] = [recordCommands(worker, id), recordCommands(ingressRuntime, id)];
        let newest = 31;
        // The ingress has heard of each before the next, so that none of these messages is still under way.
        for (let n = 0; n < 20; n++) {
          const heard = new Promise<void>((resolve) => {
            const unsubscribe = ingressRuntime.bus.subscribe((goalId, told) => {
              if (goalId !== id || told <= newest) return;
              unsubscribe();
              resolve();
            });
          });
          const last = await append(id, 1);
          await heard;
          newest = last;
        }
        expect(await redis!.xlen(key!)).toBe(31);
        expect(ofWorker().every((name) => name === "publish")).toBe(true);
        expect(ofWorker().length).toBe(20);
        expect(ofIngress()).toEqual([]);
        // Where the stream ends is not where the goal has come to.
        const back = await watch(id, 31);
        await expectAll([back], () => 31, newest);
        await vi.waitFor(async () => expect(await redis!.xlen(key!)).toBe(newest));
        back.leave();
      });

      test("who comes to another ingress is served from Redis, without a query for each goal", async () => {
        const other = await openRuntime(readConfig(env), { service: "ingress", listens: true });
        const otherIngress = await startIngress(other, { host: "127.0.0.1", port: 0 });
        try {
          const { id } = await call("/v1/goals", { text: "moved" });
          const here = await watch(id, 0);
          const newest = await append(id, 40);
          await expectAll([here], () => 0, newest);
          await vi.waitFor(async () => expect(await other.bus.recent(id, newest, 1)).toEqual([]));
          let events = 0;
          countQueries(other, (text) => {
            if (/from "events"/.test(text)) events += 1;
          });
          const there = await watch(id, 10, otherIngress.url);
          await expectAll([there], () => 10, newest);
          expect(events).toBe(0);
          here.leave();
          there.leave();
        } finally {
          await otherIngress.close();
          await other.close();
        }
      }, 30_000);

      test("what is kept is sent without the text of its script, but for the first time on a connection", async () => {
        const { id } = await call("/v1/goals", { text: "script" });
        const watching = await watch(id, 0);
        await vi.waitFor(async () => expect(await ingressRuntime.bus.recent(id, 1, 1)).toEqual([]));
        const sent = recordCommands(ingressRuntime, id);
        let newest = 1;
        for (let n = 0; n < 20; n++) {
          newest = await append(id, 1);
          await vi.waitFor(() => expect(watching.ids.at(-1)).toBe(newest), { interval: 1 });
        }
        await vi.waitFor(async () => expect(await ingressRuntime.bus.recent(id, newest, 1)).toEqual([]));
        watching.leave();
        const scripts = sent().filter((name) => name.startsWith("eval"));
        expect(scripts.length).toBe(20);
        expect(scripts.slice(1).every((name) => name === "evalsha")).toBe(true);
      });
    }
  });

/** Names of the commands that a process sends Redis about a goal from now on, as they went over the wire. */
function recordCommands(runtime: Runtime, goal: string): () => readonly string[] {
  const connection = runtime.queue.connectRedis("send")!;
  const sent: { readonly name: string }[] = [];
  const send = connection.sendCommand.bind(connection);
  connection.sendCommand = (command: Parameters<typeof send>[0], ...rest: unknown[]) => {
    if (command.args.some((arg) => String(arg).includes(goal))) sent.push(command);
    return send(command, ...(rest as []));
  };
  return () => sent.map((command) => command.name);
}

type Query = (text: string | { readonly text: string }, ...rest: unknown[]) => unknown;

/** Of all connections that are asked for by promise, as the store does. */
function countQueries(runtime: Runtime, count: (text: string) => void): void {
  const pool = runtime.database.pool as unknown as {
    connect(callback?: unknown): Promise<{ query: Query }>;
  };
  const connect = pool.connect.bind(pool);
  const counted = new WeakSet<object>();
  pool.connect = async (callback) => {
    if (callback !== undefined) return connect(callback);
    const client = await connect();
    if (counted.has(client)) return client;
    counted.add(client);
    const query = client.query.bind(client);
    client.query = (text, ...rest) => {
      count(typeof text === "string" ? text : text.text);
      return query(text, ...rest);
    };
    return client;
  };
}
