/** What the store says when Postgres goes away: one error of ours, whatever the driver calls it. */
import { expect, test } from "vitest";
import { sql } from "kysely";
import { openDatabase } from "@outerloop/core";
import { guardPool } from "../../packages/core/src/store/guarded-pool.ts";
import { startWire } from "../crash/support/wire.ts";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";

describeWithServers("the store when Postgres goes away", () => {
  const open = (url: string) =>
    openDatabase({ kind: "server", url, maxConnections: 1, applicationName: "outage-test" });
  const unavailable = { name: "OuterloopError", code: "store_unavailable", retry: "backoff" };
  const endOwnConnection = sql`SELECT pg_terminate_backend(pg_backend_pid())`;
  const one = sql<{ one: number }>`SELECT 1 AS one`;

  test("a connection that ends under a query says store_unavailable, and the next query has a new one", async () => {
    const database = await open((await cloneDatabase()).url);
    await expect(endOwnConnection.execute(database.db)).rejects.toMatchObject(unavailable);
    await expect(one.execute(database.db)).resolves.toMatchObject({ rows: [{ one: 1 }] });
    await database.close();
  });

  test("a transaction whose connection ends says store_unavailable, and the next one has a new one", async () => {
    const database = await open((await cloneDatabase()).url);
    const transaction = database.db.transaction().execute((trx) => endOwnConnection.execute(trx));
    await expect(transaction).rejects.toMatchObject(unavailable);
    const next = await database.db.transaction().execute((trx) => one.execute(trx));
    expect(next.rows).toEqual([{ one: 1 }]);
    await database.close();
  });

  test("a statement that takes longer than it may says store_unavailable: the same may work later", async () => {
    const { url } = await cloneDatabase();
    const server = { kind: "server", url, maxConnections: 1, applicationName: "outage-test" } as const;
    const database = await openDatabase({ ...server, statementMs: 100 });
    const slow = sql`SELECT pg_sleep(0.2)`;
    await expect(slow.execute(database.db)).rejects.toMatchObject(unavailable);
    await expect(one.execute(database.db)).resolves.toMatchObject({ rows: [{ one: 1 }] });
    await database.close();

    const patient = await openDatabase({ ...server, statementMs: null });
    await expect(slow.execute(patient.db)).resolves.toBeDefined();
    await patient.close();
  });

  test("a connection that falls silent is given up, in a transaction once and not again for its end", async () => {
    const wire = await startWire((await cloneDatabase()).url);
    const statementMs = 100;
    const database = await openDatabase({
      kind: "server",
      url: wire.url,
      maxConnections: 1,
      applicationName: "outage-test",
      statementMs,
    });
    const start = performance.now();
    const transaction = database.db.transaction().execute(async (trx) => {
      await one.execute(trx);
      expect(wire.freeze()).toBe(1);
      await one.execute(trx);
    });
    await expect(transaction).rejects.toMatchObject(unavailable);
    // Two seconds of silence; a rollback that waited too would make it four.
    expect(performance.now() - start).toBeLessThan(3900);
    await expect(one.execute(database.db)).resolves.toMatchObject({ rows: [{ one: 1 }] });
    await database.close();
    await wire.close();
  });

  test("a connection that its user wants destroyed does not go back to the pool", async () => {
    const database = await open((await cloneDatabase()).url);
    const client = await guardPool(database.pool).connect();
    expect(database.pool.totalCount).toBe(1);
    client.release(true);
    expect(database.pool.totalCount).toBe(0);
    await database.close();
  });

  test("a server that is not there says store_unavailable; a wrong statement stays Postgres's own error", async () => {
    const away = await open("postgres://nobody@127.0.0.1:9/none");
    await expect(one.execute(away.db)).rejects.toMatchObject(unavailable);
    await away.close();
    const database = await open((await cloneDatabase()).url);
    await expect(sql`SELECT nothing`.execute(database.db)).rejects.toMatchObject({ code: "42703" });
    await database.close();
  });
});
