import { afterEach, expect, test } from "vitest";
import { createLogger } from "../logging.ts";
import { createMetrics } from "../metrics.ts";
import type { JobWorker, QueueJob } from "./backend.ts";
import { noIsolation } from "./isolation.ts";
import { startWorker, type StageHandler, type WorkerParts, type WorkerShell } from "./worker.ts";

const deafMs = 40;
const shells: WorkerShell[] = [];
afterEach(() => Promise.all(shells.splice(0).map((shell) => shell.drain())));

/** A queue whose workers fetch as these say, one after the other; each may never answer. */
function queueOf(fetches: readonly ((token: string, options: { block: boolean }) => Promise<QueueJob | undefined>)[]) {
  const created: JobWorker[] = [];
  const dropped: JobWorker[] = [];
  const backend: { -readonly [Name in keyof WorkerParts["backend"]]: WorkerParts["backend"][Name] } = {
    fetchMs: 1_000_000,
    ping: async () => undefined,
    createWorker() {
      const fetch = fetches[created.length]!;
      const worker = {
        id: `worker-${created.length}`,
        waitUntilReady: async () => undefined,
        startStalledCheckTimer: async () => undefined,
        getNextJob: fetch,
        close: async () => undefined,
      } as unknown as JobWorker;
      created.push(worker);
      return worker;
    },
    dropWorker: (worker) => void dropped.push(worker),
  };
  return { backend, created, dropped };
}

const never = () => new Promise<never>(() => undefined);

function jobOnce(): () => Promise<QueueJob | undefined> {
  let given = false;
  return async () => {
    if (given) return never();
    given = true;
    const end = async () => undefined;
    return {
      id: "1",
      data: { goal: "g_1", tasks: [] },
      moveToCompleted: end,
      moveToFailed: end,
    } as unknown as QueueJob;
  };
}

function start(
  backend: WorkerParts["backend"],
  oldestSentMs: () => Promise<number>,
  slots = 1,
): { readonly claimed: Promise<string>; readonly metrics: ReturnType<typeof createMetrics> } {
  const metrics = createMetrics();
  const claimed = Promise.withResolvers<string>();
  const handler: StageHandler = {
    claim: async (payload) => {
      claimed.resolve(payload.goal);
      return [async () => null];
    },
    takeUp: async () => null,
  };
  const fetching = { turn: () => undefined, rest: () => undefined };
  const parts = { backend, metrics, oldestSentMs, fetching, log: createLogger("test", "silent", 1) };
  shells.push(
    startWorker(parts, handler, {
      queue: "execute",
      slots,
      drainMs: 100,
      deafMs,
      beforeClaim: noIsolation.beforeClaim,
    }),
  );
  return { claimed: claimed.promise, metrics };
}

const deafWorkers = async (metrics: ReturnType<typeof createMetrics>) =>
  (await metrics.deafWorkers.get()).values.reduce((sum, each) => sum + each.value, 0);

test("a worker whose fetch never returns while work lies on its queue is replaced, and the work is taken", async () => {
  const { backend, created, dropped } = queueOf([never, jobOnce()]);
  const { claimed, metrics } = start(backend, async () => deafMs + 1);
  expect(await claimed).toBe("g_1");
  expect(created).toHaveLength(2);
  await expect.poll(() => dropped).toEqual([created[0]]);
  expect(await deafWorkers(metrics)).toBe(1);
});

test("a worker that waits long on an empty queue is not deaf", async () => {
  const { backend, created } = queueOf([never]);
  let asked = 0;
  const { metrics } = start(backend, async () => {
    asked += 1;
    return 0;
  });
  await expect.poll(() => asked).toBeGreaterThan(3);
  expect(created).toHaveLength(1);
  expect(await deafWorkers(metrics)).toBe(0);
});

test("a worker whose fetches return is not deaf, however long the work of others lies there", async () => {
  let fetched = 0;
  const { backend, created } = queueOf([
    async () => {
      fetched += 1;
      await new Promise((resolve) => setTimeout(resolve, deafMs / 8));
      return undefined;
    },
  ]);
  start(backend, async () => 1_000_000);
  await expect.poll(() => fetched, { timeout: 5000 }).toBeGreaterThan(50);
  expect(created).toHaveLength(1);
});

test("a worker that never gets its connections while work lies on its queue is replaced too", async () => {
  const { backend, created } = queueOf([never, jobOnce()]);
  const { createWorker } = backend;
  backend.createWorker = (name) =>
    Object.assign(createWorker(name), created.length === 1 ? { waitUntilReady: never } : {});
  expect(await start(backend, async () => deafMs + 1).claimed).toBe("g_1");
});

test("a worker that is refused its first connection gets another", async () => {
  const { backend, created, dropped } = queueOf([never, jobOnce()]);
  const { createWorker } = backend;
  backend.createWorker = (name) =>
    Object.assign(
      createWorker(name),
      created.length === 1 ? { waitUntilReady: () => Promise.reject(new Error("Connection is closed.")) } : {},
    );
  expect(await start(backend, async () => 0).claimed).toBe("g_1");
  expect(dropped).toEqual([created[0]]);
});

test("no worker is replaced while the queue does not answer", async () => {
  const { backend, created } = queueOf([never, jobOnce()]);
  let asked = 0;
  backend.ping = async () => {
    asked += 1;
    if (asked < 4) throw new Error("away");
  };
  expect(await start(backend, async () => deafMs + 1).claimed).toBe("g_1");
  expect(asked).toBe(4);
  expect(created).toHaveLength(2);
});

test("a job that nothing announces is found by who waited in vain", async () => {
  const job = await jobOnce()();
  let waited = 0;
  const { backend } = queueOf([
    async (_token, { block }) => {
      if (!block) return job;
      waited += 1;
      return waited === 1 ? undefined : never();
    },
  ]);
  expect(await start(backend, async () => 0).claimed).toBe("g_1");
  expect(waited).toBe(1);
});
