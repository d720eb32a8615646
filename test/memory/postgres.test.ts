import { createId, defaultTenant, migrate, openDatabase } from "@outerloop/core";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { listEmbeddedModels } from "../../packages/core/src/store/reembedding.ts";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";
import { embeddingCases } from "./embeddings.cases.ts";

describeWithServers("PostgreSQL", () => {
  const open = async () =>
    openDatabase({ kind: "server", url: (await cloneDatabase()).url, maxConnections: 8, applicationName: "vectors" });
  embeddingCases("PostgreSQL", open);

  test("memories are kept when the schema goes back before the cache and forward again", async () => {
    const database = await open();
    const { db } = database;
    await sql`INSERT INTO memory_entries (id, tenant_id, kind, text, embedding, embedding_model)
      VALUES (${createId("memory")}, ${defaultTenant}, 'note', 'kept', '[1,2,3]', 'openai/old')`.execute(db);
    await migrate(db, "0017-ask-questions");
    expect((await sql`SELECT to_regclass('embedding_cache')::text AS name`.execute(db)).rows).toEqual([{ name: null }]);
    await migrate(db);
    expect(await listEmbeddedModels(db)).toEqual([{ model: "openai/old", dimensions: 3 }]);
    await database.close();
  });
});
