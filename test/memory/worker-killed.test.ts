/** A service that is killed while it embeds memories again: what it had in hand is another's, and the deployment ends with one model. */
import { createId, defaultTenant, openDatabase } from "@outerloop/core";
import { sql } from "kysely";
import { afterEach, expect, test } from "vitest";
import { endProcesses, isReady, startProcess } from "../support/processes.ts";
import { cloneDatabase, describeWithServers, redisDatabase } from "../support/servers.ts";
import { startTopicServer, topicVector } from "./support/topics.ts";

const memories = 150;

describeWithServers("embedding again", () => {
  afterEach(endProcesses);

  test("goes on in another process after the first was killed in the middle of a batch", async () => {
    const asked = Promise.withResolvers<void>();
    let hangs = true;
    const server = await startTopicServer((request) => {
      if (!hangs) return request.texts.map((text) => topicVector(text, request.model, 6));
      asked.resolve();
      return "hang";
    });
    const { url } = await cloneDatabase();
    const database = await openDatabase({ kind: "server", url, maxConnections: 2, applicationName: "test-reembed" });
    const { db } = database;
    for (let at = 0; at < memories; at += 1)
      await sql`INSERT INTO memory_entries (id, tenant_id, kind, text, embedding, embedding_model)
        VALUES (${createId("memory")}, ${defaultTenant}, 'note', ${`topic-${at}`}, '[1,2,3]', 'openai/old')`.execute(
        db,
      );
    const env = {
      DATABASE_URL: url,
      REDIS_URL: await redisDatabase(),
      OPENAI_BASE_URL: server.openAiBaseUrl,
      OUTERLOOP_MODEL_EMBED: "openai/new@6",
      OUTERLOOP_API_KEY: "ol_a_key_of_this_test_alone",
      OUTERLOOP_REEMBED_BATCH: "40",
    };
    const first = startProcess("planner", "services/planner/src/main.ts", env);
    await first.until(isReady, "it was ready");
    await asked.promise;
    first.kill("SIGKILL");
    await first.exited;
    const held = await sql<{
      n: number;
    }>`SELECT count(*)::integer AS n FROM embedding_claims WHERE until > clock_timestamp()`.execute(db);
    expect(held.rows).toEqual([{ n: 40 }]);
    // As if a minute had gone by.
    await sql`UPDATE embedding_claims SET until = clock_timestamp()`.execute(db);
    hangs = false;
    const before = server.embedded.length;
    const second = startProcess("reflector", "services/reflector/src/main.ts", env);
    await second.until(isReady, "it was ready");
    await expect
      .poll(async () => (await sql`SELECT DISTINCT embedding_model FROM memory_entries`.execute(db)).rows, {
        timeout: 20_000,
      })
      .toEqual([{ embedding_model: "openai/new" }]);
    expect(server.embedded.slice(before).flatMap((request) => request.texts)).toHaveLength(memories);
    second.kill("SIGTERM");
    expect(await second.exited).toBe(0);
    await database.close();
    await server.close();
  }, 60_000);
});
