/** What is embedded is paid for once, together, and by whoever asks; the same on every database. */
import { randomUUID } from "node:crypto";
import {
  createId,
  createLogger,
  createLocalEmbedder,
  createMemory,
  createMetrics,
  createStore,
  migrate,
  OuterloopError,
  type Database,
  type TenantId,
} from "@outerloop/core";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { defaultEmbeddingLimits, type EmbeddingLimits } from "../../packages/core/src/memory/embedding-limits.ts";
import { reembedOnce } from "../../packages/core/src/memory/reembed.ts";
import type { Embedder } from "../../packages/core/src/models/provider.ts";
import type { ScriptedServerOptions } from "../../packages/core/src/models/testing/scripted-server.ts";
import { createVectorStore } from "../../packages/core/src/store/vector-store.ts";
import { remoteEmbedder, startTopicServer } from "./support/topics.ts";

const log = createLogger("test", "silent", 2);
const never = new AbortController().signal;
const backoff = { baseMs: 10, capMs: 20 };

export function embeddingCases(name: string, open: () => Promise<Database>): void {
  describe(`embeddings on ${name}`, () => {
    let database: Database;
    let server: Awaited<ReturnType<typeof startTopicServer>>;
    /** What the server does with the next requests, where it is not to answer. */
    let behave: ScriptedServerOptions["embed"];
    beforeAll(async () => {
      database = await open();
      await migrate(database.db);
      server = await startTopicServer((request) => behave?.(request) as never);
    }, 60_000);
    afterAll(async () => {
      await server.close();
      await database.close();
    });

    /** As a process of its own would have it. */
    function processOf(embedder: Embedder, given: { old?: Embedder; limits?: Partial<EmbeddingLimits> } = {}) {
      const metrics = createMetrics();
      const vectors = createVectorStore(database.db);
      const embedderOf = (wanted: string) => (given.old?.name === wanted ? given.old : null);
      const memory = createMemory({
        store: createStore(database.db),
        vectors,
        embedder: () => embedder,
        localEmbedder: createLocalEmbedder(),
        embedderOf,
        learns: true,
        limits: { ...defaultEmbeddingLimits, ...given.limits },
        gatherMs: () => 0,
        metrics,
        log,
      });
      const recall = async (tenantId: TenantId, query: string, similar = 10) =>
        (await memory.recall({ tenantId, query, similar, recent: 0, signal: never })).map((each) => each.text);
      const parts = { vectors, embedder, embedderOf, holder: createId("lease"), batch: 40, backoff, metrics, log };
      return { memory, metrics, vectors, recall, parts };
    }
    async function newTenant(): Promise<TenantId> {
      const id = `t${randomUUID()}` as TenantId;
      await sql`INSERT INTO tenants (id, name) VALUES (${id}, 'somebody')`.execute(database.db);
      return id;
    }
    async function remember(tenantId: TenantId, embedder: Embedder, texts: readonly string[]): Promise<void> {
      const { memory } = processOf(embedder);
      const vectors = await memory.embed(tenantId, texts, never);
      for (const [index, text] of texts.entries())
        await database.db
          .insertInto("memory_entries")
          .values({
            id: createId("memory"),
            tenant_id: tenantId,
            session_id: null,
            goal_id: null,
            task_id: null,
            kind: "note",
            text,
            ...vectors[index]!,
          })
          .execute();
    }
    const asked = async (work: () => Promise<unknown>) => {
      const before = server.embedded.length;
      await work();
      return server.embedded.slice(before);
    };
    const counted = async (metrics: ReturnType<typeof createMetrics>, cache: string) =>
      (await metrics.embeddingCacheHits.get()).values.find((value) => value.labels.cache === cache)?.value ?? 0;
    const cachedRows = async (tenant: TenantId) =>
      Number(
        (
          await sql<{ n: number }>`SELECT count(*) AS n FROM embedding_cache WHERE tenant_id = ${tenant}`.execute(
            database.db,
          )
        ).rows[0]!.n,
      );
    const modelsOf = async (tenantId: TenantId) =>
      (
        await sql<{ model: string; n: number }>`
          SELECT embedding_model AS model, count(*)::integer AS n FROM memory_entries WHERE tenant_id = ${tenantId} GROUP BY 1 ORDER BY 1`.execute(
          database.db,
        )
      ).rows;

    test("a text is embedded once, however often it is asked for, by this process or by another", async () => {
      const tenant = await newTenant();
      const embedder = remoteEmbedder(server.openAiBaseUrl, "once-8");
      const [one, other] = [processOf(embedder), processOf(embedder)];
      const first = await one.memory.embed(tenant, ["topic-1 a", "topic-2 b", "topic-1 a"], never);
      await expect.poll(() => cachedRows(tenant)).toBe(2);
      const requests = await asked(async () => {
        expect(await one.memory.embed(tenant, ["topic-1 a"], never)).toEqual([first[0]]);
        expect(await other.memory.embed(tenant, ["topic-2 b", "topic-1 a"], never)).toEqual([first[1], first[0]]);
      });
      expect(requests).toEqual([]);
      expect(await counted(one.metrics, "process")).toBe(1);
      expect(await counted(other.metrics, "database")).toBe(2);
      expect(first[0]!.embedding_model).toBe("openai/once-8");
    });

    test("what is to be kept while the embedder is away is embedded here, found, and embedded again when it is back", async () => {
      const tenant = await newTenant();
      const good = remoteEmbedder(server.openAiBaseUrl, "away-8");
      const away: Embedder = {
        ...good,
        embed: () => Promise.reject(new OuterloopError("held_back", "away", { retry: { afterMs: 60_000 } })),
      };
      const local = createLocalEmbedder();
      const { memory } = processOf(away, { old: local });
      const [vector] = await memory.embed(tenant, ["topic-3 is blue"], never);
      expect(vector!.embedding_model).toBe(local.name);
      await remember(tenant, away, ["topic-3 is blue"]);
      // By the vectors of this process alone.
      expect(await processOf(away, { old: local }).recall(tenant, "topic-3 is blue")).toEqual(["topic-3 is blue"]);
      await reembedOnce({ ...processOf(good, { old: local }).parts, embedder: good }, never);
      expect(await modelsOf(tenant)).toEqual([{ model: "openai/away-8", n: 1 }]);
    });

    test("tenants share no vectors, and models of another name or length none either", async () => {
      const [ann, bob] = [await newTenant(), await newTenant()];
      const { memory } = processOf(remoteEmbedder(server.openAiBaseUrl, "own-8"));
      await memory.embed(ann, ["topic-1 secret"], never);
      expect(await asked(() => memory.embed(bob, ["topic-1 secret"], never))).toHaveLength(1);
      const longer = processOf({ ...remoteEmbedder(server.openAiBaseUrl, "own-9"), name: "openai/own-8" });
      expect(await asked(() => longer.memory.embed(ann, ["topic-1 secret"], never))).toHaveLength(1);
    });

    test("a cache that is switched off writes no row and keeps nothing at hand", async () => {
      const tenant = await newTenant();
      const limits = { cacheVectors: 0, cacheRows: 0 };
      const { memory } = processOf(remoteEmbedder(server.openAiBaseUrl, "off-8"), { limits });
      const requests = await asked(async () => {
        await memory.embed(tenant, ["topic-1"], never);
        await memory.embed(tenant, ["topic-1"], never);
      });
      expect(requests).toHaveLength(2);
      expect(await cachedRows(tenant)).toBe(0);
    });

    test("a hundred recalls at once are a few requests", async () => {
      const tenant = await newTenant();
      const embedder = remoteEmbedder(server.openAiBaseUrl, "many-8");
      await remember(tenant, embedder, ["topic-7 is known"]);
      const { recall } = processOf(embedder);
      const requests = await asked(async () => {
        const found = await Promise.all(Array.from({ length: 100 }, (_, at) => recall(tenant, `topic-7 query ${at}`)));
        expect(found.every((texts) => texts[0] === "topic-7 is known")).toBe(true);
      });
      expect(requests.length).toBeLessThanOrEqual(3);
      expect(requests.flatMap((request) => request.texts)).toHaveLength(100);
    });

    test("who gives up ends only its own wait", async () => {
      const tenant = await newTenant();
      const { memory } = processOf(remoteEmbedder(server.openAiBaseUrl, "abort-8"));
      const leaving = new AbortController();
      behave = () => {
        leaving.abort(new Error("gone"));
        return undefined as never;
      };
      const [left, stayed] = await Promise.allSettled([
        memory.embed(tenant, ["topic-1 one"], leaving.signal),
        memory.embed(tenant, ["topic-1 two"], never),
      ]);
      behave = undefined;
      expect(left).toMatchObject({ status: "rejected", reason: { message: "gone" } });
      expect(stayed.status).toBe("fulfilled");
    });

    test("what the cache holds is bounded in rows and in age, the longest unused goes first", async () => {
      const tenant = await newTenant();
      const { memory, vectors } = processOf(remoteEmbedder(server.openAiBaseUrl, "prune-8"));
      await memory.embed(tenant, ["topic-1", "topic-2", "topic-3"], never);
      await expect.poll(() => cachedRows(tenant)).toBe(3);
      await sql`UPDATE embedding_cache SET used_at = used_at - interval '2 days' WHERE tenant_id <> ${tenant}`.execute(
        database.db,
      );
      expect(await vectors.pruneCachedVectors(1000, 86_400_000)).toBeGreaterThan(0);
      expect(await vectors.pruneCachedVectors(1000, 86_400_000)).toBe(0);
      expect(await vectors.pruneCachedVectors(2, 86_400_000)).toBe(1);
      expect(await vectors.pruneCachedVectors(2, 86_400_000)).toBe(0);
      expect(await vectors.pruneCachedVectors(0, 86_400_000)).toBe(2);
    });

    describe("after the model was changed", () => {
      beforeEach(() => database.db.deleteFrom("memory_entries").execute());
      const topics = 50;
      const texts = Array.from({ length: 500 }, (_, at) => `topic-${at % topics} entry ${at}`);
      const about = (found: readonly string[], topic: string) =>
        found.filter((text) => text.startsWith(`${topic} `)).length;

      test("recall finds memories throughout, and two processes embed each of them once", async () => {
        const tenant = await newTenant();
        const old = remoteEmbedder(server.openAiBaseUrl, "old-8");
        const next = remoteEmbedder(server.openAiBaseUrl, "new-6");
        await remember(tenant, old, texts);
        const workers = [processOf(next, { old }), processOf(next, { old })];
        const { recall } = processOf(next, { old });
        expect(about(await recall(tenant, "topic-3"), "topic-3")).toBe(10);
        let looks = 0;
        const lookAgain = async () => {
          const topic = `topic-${(looks += 1) % topics}`;
          // Half of what is looked at is of each model.
          expect(about(await recall(tenant, `${topic} `), topic)).toBeGreaterThanOrEqual(5);
        };
        const requests = await asked(() =>
          Promise.all(workers.map(({ parts }) => reembedOnce(parts, never, lookAgain))),
        );
        expect(looks).toBeGreaterThanOrEqual(Math.ceil(500 / 40));
        const embedded = requests
          .filter((request) => request.model === "new-6")
          .flatMap((request) => request.texts)
          .filter((text) => text.includes("entry"));
        expect(embedded.toSorted()).toEqual(texts.toSorted());
        expect(await reembedOnce(workers[0]!.parts, never)).toEqual([]);
        expect(await modelsOf(tenant)).toEqual([{ model: "openai/new-6", n: 500 }]);
        expect(about(await processOf(next).recall(tenant, "topic-3"), "topic-3")).toBe(10);
      }, 60_000);

      test("a worker that stops in the middle leaves its batch to another", async () => {
        const tenant = await newTenant();
        await remember(tenant, remoteEmbedder(server.openAiBaseUrl, "old-8"), texts.slice(0, 60));
        const next = remoteEmbedder(server.openAiBaseUrl, "stop-6");
        const stopping = new AbortController();
        behave = () => {
          stopping.abort(new Error("stopped"));
          return "hang";
        };
        await expect(reembedOnce(processOf(next).parts, stopping.signal)).rejects.toThrow("stopped");
        behave = undefined;
        const { parts } = processOf(next);
        expect(await reembedOnce(parts, never)).toEqual([]);
        expect(await modelsOf(tenant)).toEqual([{ model: "openai/stop-6", n: 60 }]);
      });

      test("and one that died is followed when its claims have run out", async () => {
        const tenant = await newTenant();
        const old = remoteEmbedder(server.openAiBaseUrl, "dead-8");
        await remember(tenant, old, texts.slice(0, 10));
        const { vectors, parts } = processOf(remoteEmbedder(server.openAiBaseUrl, "heir-6"));
        const claim = { holder: "l_dead", limit: 4, claimMs: 60_000 };
        const model = { model: old.name, dimensions: 8 };
        expect(await vectors.claimOldEntries(model, claim)).toHaveLength(4);
        expect(await reembedOnce(parts, never)).toEqual([{ ...model, memories: 4, found: false }]);
        await sql`UPDATE embedding_claims SET until = clock_timestamp()`.execute(database.db);
        expect(await reembedOnce(parts, never)).toEqual([]);
        expect(await modelsOf(tenant)).toEqual([{ model: "openai/heir-6", n: 10 }]);
      });

      test("memories of a model that is gone are not found until they are embedded again, and all are in the end", async () => {
        const tenant = await newTenant();
        await remember(tenant, remoteEmbedder(server.openAiBaseUrl, "gone-8"), texts.slice(0, 50));
        const { recall, parts, metrics } = processOf(remoteEmbedder(server.openAiBaseUrl, "here-6"));
        expect(await recall(tenant, "topic-3")).toEqual([]);
        let most = 0;
        const left = await reembedOnce(parts, never, async () => {
          most = Math.max(most, (await metrics.memoriesToReembed.get()).values[0]!.value);
        });
        expect(left).toEqual([]);
        expect(most).toBeGreaterThanOrEqual(50);
        expect(about(await recall(tenant, "topic-3 "), "topic-3")).toBe(1);
      });

      test("a provider that is away costs nothing but time", async () => {
        const tenant = await newTenant();
        await remember(tenant, remoteEmbedder(server.openAiBaseUrl, "calm-8"), texts.slice(0, 5));
        const { parts } = processOf(remoteEmbedder(server.openAiBaseUrl, "away-6"));
        behave = () => ({ status: 503 });
        await expect(reembedOnce(parts, never)).rejects.toThrow("503");
        behave = undefined;
        expect(await reembedOnce(parts, never)).toEqual([]);
        expect(await modelsOf(tenant)).toEqual([{ model: "openai/away-6", n: 5 }]);
      });

      test("a text that the model refuses is left alone, and keeps no other from being embedded again", async () => {
        const tenant = await newTenant();
        await remember(tenant, remoteEmbedder(server.openAiBaseUrl, "kind-8"), texts.slice(0, 9));
        const remote = remoteEmbedder(server.openAiBaseUrl, "strict-6");
        const { parts } = processOf({
          ...remote,
          async embed(given, signal) {
            if (given.includes(texts[4]!)) throw new OuterloopError("context_length", "too long");
            return remote.embed(given, signal);
          },
        });
        const left = [{ model: "openai/kind-8", dimensions: 8, memories: 1, found: false }];
        expect(await reembedOnce(parts, never)).toEqual(left);
        // Nobody asks about it again for a while.
        expect(await asked(() => reembedOnce(parts, never))).toEqual([]);
        expect(await modelsOf(tenant)).toEqual([
          { model: "openai/kind-8", n: 1 },
          { model: "openai/strict-6", n: 8 },
        ]);
      });

      test("processes of two settings do not undo one another's work: the one that came last wins", async () => {
        const tenant = await newTenant();
        const [before, after] = ["first-8", "last-6"].map((model) => remoteEmbedder(server.openAiBaseUrl, model));
        await remember(tenant, before!, texts.slice(0, 5));
        const [old, fresh] = [processOf(before!).parts, processOf(after!).parts];
        await reembedOnce(old, never);
        await reembedOnce(fresh, never);
        await reembedOnce(old, never);
        expect(await modelsOf(tenant)).toEqual([{ model: "openai/last-6", n: 5 }]);
        // As when the newer setting was taken back, and its processes have been gone for long.
        await sql`UPDATE embedding_models SET seen_at = seen_at - interval '1 hour' WHERE model = 'openai/last-6'`.execute(
          database.db,
        );
        await reembedOnce(old, never);
        expect(await modelsOf(tenant)).toEqual([{ model: "openai/first-8", n: 5 }]);
      });
    });
  });
}
