/** Goals that are posted at the same time, on real PostgreSQL: each is begun once and answered for itself, whoever it comes with. */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  createId,
  createSubmitter,
  defaultBudget,
  openDatabase,
  type Database,
  type NewGoal,
  type Principal,
  type TenantId,
} from "@outerloop/core";
import { sql } from "kysely";
import { brokenInvariants, createDriver, operator } from "../support/goal-driver.ts";
import { startPostgresProxy } from "../support/postgres-proxy.ts";
import { cloneDatabase, describeWithServers, type ClonedDatabase } from "../support/servers.ts";

const posted = (text: string, key: string | null = null, more: Partial<NewGoal> = {}): NewGoal => ({
  text,
  session: null,
  budget: defaultBudget,
  planning: { cadence: "adaptive" },
  priority: 0,
  labels: {},
  attachments: [],
  questionsWaitMs: null,
  idempotency: key === null ? null : { key, requestHash: `hash of ${text}` },
  ...more,
});

describeWithServers("goals that are posted together", () => {
  let clone: ClonedDatabase;
  let database: Database;
  beforeAll(async () => {
    clone = await cloneDatabase();
    database = await openDatabase({ kind: "server", url: clone.url, maxConnections: 4, applicationName: "submitting" });
    await createDriver(database.db);
  }, 60_000);
  afterAll(async () => {
    await database?.close();
    await clone?.drop();
  });

  const countOf = async (text: string) =>
    (await database.db.selectFrom("goals").select("id").where("text", "=", text).execute()).length;
  const kinds = (settled: readonly PromiseSettledResult<{ readonly kind: string }>[]) =>
    settled.map((each) => (each.status === "fulfilled" ? each.value.kind : "rejected"));

  test("begin as one that is posted alone does: the same rows, the same job", async () => {
    const submitter = createSubmitter(database.db, createId);
    const more = { priority: 3, labels: { a: "b" }, planning: { cadence: "every-n", every: 3 } } as const;
    // A session sends it the way that goals alone go.
    const [alone, one, two] = await Promise.all([
      submitter.submit(operator, posted("alone", "key alone", { ...more, session: "s" })),
      submitter.submit(operator, posted("alone", "key one", more)),
      submitter.submit(operator, posted("alone", "key two", more)),
    ]);
    const shown = (submitted: typeof alone) => {
      if (submitted.kind !== "created") throw new Error(submitted.kind);
      const { session_id: _session, ...goal } = submitted.goal;
      const text = JSON.stringify({ goal, job: submitted.job }, (key, value: unknown) =>
        key.endsWith("_at") ? value !== null : value,
      );
      return JSON.parse(text.replaceAll(submitted.goal.id, "the-goal")) as unknown;
    };
    expect(shown(one)).toEqual(shown(alone));
    expect(shown(two)).toEqual(shown(alone));
    expect(await brokenInvariants(database.db)).toEqual([]);
  });

  test("a webhook's delivery that comes four times at once begins one goal, its tenant's and of its name", async () => {
    const tenantId = "webhook-team" as TenantId;
    await database.db.insertInto("tenants").values({ id: tenantId, name: tenantId }).execute();
    const webhook: Principal = { kind: "webhook", tenantId, source: "github" };
    const submitter = createSubmitter(database.db, createId);
    const delivery = posted("delivered", "webhook·github·id·d1", {
      session: "pr-1",
      attachments: [{ path: "webhook/payload.json", bytes: new TextEncoder().encode("{}") }],
    });
    const all = await Promise.all(Array.from({ length: 4 }, () => submitter.submit(webhook, delivery)));
    expect(all.map((each) => each.kind).toSorted()).toEqual(["created", "repeated", "repeated", "repeated"]);
    expect(new Set(all.map((each) => (each.kind === "key_taken" ? "" : each.goal.id))).size).toBe(1);
    const rows = await database.db
      .selectFrom("goals")
      .select(["tenant_id", "created_by", "file_seq"])
      .where("text", "=", "delivered")
      .execute();
    expect(rows).toEqual([{ tenant_id: tenantId, created_by: "webhook:github", file_seq: 1 }]);
    expect(await brokenInvariants(database.db)).toEqual([]);
  });

  test("a key that comes twice in one batch, and again in the next, begins one goal; with another request it is taken", async () => {
    const submitter = createSubmitter(database.db, createId);
    const together = await Promise.all([
      submitter.submit(operator, posted("first", "k")),
      submitter.submit(operator, posted("first", "k")),
      submitter.submit(operator, posted("another request", "k")),
      submitter.submit(operator, posted("beside", "k2")),
      submitter.submit(operator, posted("beside, without a key")),
    ]);
    expect(together.map((each) => each.kind)).toEqual(["created", "repeated", "key_taken", "created", "created"]);
    const ids = together.map((each) => (each.kind === "key_taken" ? each.goalId : each.goal.id));
    expect(ids.slice(1, 3)).toEqual([ids[0], ids[0]]);
    const again = await Promise.all(
      ["first", "beside"].map((text, index) => submitter.submit(operator, posted(text, ["k", "k2"][index]!))),
    );
    expect(again).toMatchObject([
      { kind: "repeated", goal: { id: ids[0] } },
      { kind: "repeated", goal: { id: ids[3] } },
    ]);
    expect([await countOf("first"), await countOf("another request"), await countOf("beside")]).toEqual([1, 0, 1]);
  });

  test("processes that are posted the same keys at once begin each goal once", async () => {
    const submitters = [1, 2, 3].map(() => createSubmitter(database.db, createId));
    const keys = Array.from({ length: 40 }, (_, index) => `shared ${index}`);
    const answers = await Promise.all(
      submitters.map((submitter, index) =>
        Promise.all(
          (index === 1 ? keys.toReversed() : keys).map((key) => submitter.submit(operator, posted(key, key))),
        ),
      ),
    );
    expect(answers.flat().filter((each) => each.kind === "created")).toHaveLength(keys.length);
    expect(answers.flat().filter((each) => each.kind === "repeated")).toHaveLength(2 * keys.length);
    for (const key of keys) expect(await countOf(key)).toBe(1);
  });

  test("one that the database refuses is told so, and the others begin", async () => {
    const submitter = createSubmitter(database.db, createId);
    const settled = await Promise.allSettled([
      submitter.submit(operator, posted("good one")),
      submitter.submit(operator, posted("bad", null, { priority: 1_000_000 })),
      submitter.submit(operator, posted("good two")),
    ]);
    expect(kinds(settled)).toEqual(["created", "rejected", "created"]);
    expect([await countOf("good one"), await countOf("bad"), await countOf("good two")]).toEqual([1, 0, 1]);
  });

  test("a connection that ends after the commit is answered as an error; whoever asks again by key gets the goal that was begun", async () => {
    const proxy = await startPostgresProxy(clone.url, [
      { name: "commit", statement: /submit_goals\(/, cut: "unanswered" },
    ]);
    const far = await openDatabase({
      kind: "server",
      url: proxy.url,
      maxConnections: 2,
      applicationName: "submitting-far",
    });
    try {
      const submitter = createSubmitter(far.db, createId);
      const keys = ["lost 1", "lost 2", "lost 3"];
      const lost = await Promise.allSettled(keys.map((key) => submitter.submit(operator, posted(key, key))));
      for (const each of lost)
        expect(each).toMatchObject({ status: "rejected", reason: { code: "store_unavailable" } });
      expect(proxy.met).toEqual(["commit"]);
      for (const key of keys) expect(await countOf(key), "begun, though nobody was told").toBe(1);
      const again = await Promise.all(keys.map((key) => submitter.submit(operator, posted(key, key))));
      expect(again.map((each) => each.kind)).toEqual(["repeated", "repeated", "repeated"]);
      for (const key of keys) expect(await countOf(key)).toBe(1);
    } finally {
      await far.close();
      await proxy.close();
    }
  });

  test("tenants that post at the same time see and use none but their own: rows, keys and all", async () => {
    const other: Principal = { ...operator, tenantId: "t_other" as TenantId } as Principal;
    await sql`INSERT INTO tenants (id, name) VALUES ('t_other', 'other') ON CONFLICT DO NOTHING`.execute(database.db);
    const submitter = createSubmitter(database.db, createId);
    const mixed = await Promise.all(
      [operator, other, operator, other].map((principal, index) =>
        submitter.submit(principal, posted(`mixed ${index % 2}`, `mixed key ${index >> 1}`)),
      ),
    );
    expect(
      mixed.map((each) => each.kind),
      "the same keys, of two tenants",
    ).toEqual(Array(4).fill("created"));
    expect(mixed.map((each) => each.kind === "created" && each.goal.tenant_id)).toEqual(
      [operator, other, operator, other].map((each) => each.tenantId),
    );
    const events = await database.db
      .selectFrom("events")
      .select(["tenant_id", "data"])
      .where("type", "=", "goal.created")
      .execute();
    for (const { tenant_id: tenant, data } of events)
      if ((data as { text: string }).text === "mixed 1") expect(tenant).toBe("t_other");
    // A tenant that there is not begins nothing, and its neighbours do not notice.
    const stranger: Principal = { ...operator, tenantId: "t_nobody" as TenantId } as Principal;
    const settled = await Promise.allSettled(
      [stranger, operator].map((principal) => submitter.submit(principal, posted("of a stranger?"))),
    );
    expect(kinds(settled)).toEqual(["rejected", "created"]);
    expect(await countOf("of a stranger?")).toBe(1);
    // The role by which it was done is left behind with its transaction.
    const roles = await Promise.all(
      Array.from({ length: 4 }, () => sql<{ role: string }>`SELECT current_user AS role`.execute(database.db)),
    );
    for (const { rows } of roles) expect(rows[0]?.role).not.toBe("outerloop_api");
  });
});
