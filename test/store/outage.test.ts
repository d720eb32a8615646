/** What the store says when Postgres goes away: one error of ours, whatever the driver calls it. */
import { expect, test } from "vitest";
import pg from "pg";
import { sql } from "kysely";
import { openDatabase } from "@outerloop/core";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";

describeWithServers("the store when Postgres goes away", () => {
  const open = async (url: string) =>
    openDatabase({ kind: "server", url, maxConnections: 2, applicationName: "outage-test" });
  const unavailable = { name: "OuterloopError", code: "store_unavailable", retry: "backoff" };

  test("a connection that is ended under a query says store_unavailable, and the next query has a new one", async () => {
    const { url } = await cloneDatabase();
    const database = await open(url);
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    const { rows } = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(database.db);
    const hanging = sql`SELECT pg_sleep(60)`.execute(database.db);
    const ended = expect(hanging).rejects.toMatchObject(unavailable);
    await admin.query("SELECT pg_terminate_backend($1)", [rows[0]!.pid]);
    await ended;
    await expect(sql`SELECT 1 AS one`.execute(database.db)).resolves.toMatchObject({ rows: [{ one: 1 }] });
    await admin.end();
    await database.close();
  });

  test("a server that is not there says store_unavailable; a wrong statement stays Postgres's own error", async () => {
    const away = await open("postgres://nobody@127.0.0.1:9/none");
    await expect(sql`SELECT 1`.execute(away.db)).rejects.toMatchObject(unavailable);
    await away.close();
    const database = await open((await cloneDatabase()).url);
    await expect(sql`SELECT nothing`.execute(database.db)).rejects.toMatchObject({ code: "42703" });
    await database.close();
  });
});
