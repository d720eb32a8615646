/** What replicas know together of their models, on whichever database: limits that hold, turns that are fair, breakers that one probes. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  askModelTest,
  createModelControl,
  findModelTest,
  migrate,
  readModelState,
  type Database,
  type ModelControl,
} from "@outerloop/core";
import { sql } from "kysely";

interface Grant {
  readonly tenant: string;
  readonly at: number;
}

export function modelControlCases(name: string, open: () => Promise<Database>): void {
  describe(`models of all replicas on ${name}`, () => {
    let database: Database;
    let control: ModelControl;
    let scopes = 0;

    beforeAll(async () => {
      database = await open();
      await migrate(database.db);
      control = createModelControl(database.db);
    });
    afterAll(() => database.close());

    const limit = (of: Partial<Record<"requests" | "tokens" | "tenant_requests" | "tenant_tokens", number>>) => ({
      scope: `provider-${(scopes += 1)}`,
      requests: null,
      tokens: null,
      tenant_requests: null,
      tenant_tokens: null,
      ...of,
    });
    type Limit = ReturnType<typeof limit>;
    const take = (limits: readonly Limit[], tenantId = "t_1", tokens = 0, waited = false, windowMs = 60_000) =>
      control.take({ tenantId, scopes: limits, tokens, windowMs, waited });
    const takeAll = async (count: number, limits: readonly Limit[], tenantId = "t_1") => {
      for (let taken = 0; taken < count; taken += 1)
        expect(await take(limits, tenantId)).toMatchObject({ kind: "taken" });
    };

    test("a limit is taken up to its last request; then it is told when the next is free", async () => {
      const limits = [limit({ requests: 3 })];
      await takeAll(3, limits);
      const full = await take(limits);
      expect(full).toMatchObject({ kind: "full", scope: limits[0]!.scope });
      const waitMs = full.kind === "full" ? full.waitMs : 0;
      // A window, its part that counts whole, and a turn.
      expect(waitMs).toBeGreaterThan(59_000);
      expect(waitMs).toBeLessThan(60_000 * 1.1 + 20_000 + 1000);
    });

    test("those who are sent away are told one turn after the other", async () => {
      const limits = [limit({ requests: 10 })];
      await takeAll(10, limits);
      const waits: number[] = [];
      for (let asked = 0; asked < 5; asked += 1) {
        const full = await take(limits);
        waits.push(full.kind === "full" ? full.waitMs : 0);
      }
      const steps = waits.slice(1).map((wait, index) => wait - waits[index]!);
      for (const step of steps) {
        expect(step).toBeGreaterThan(5500);
        expect(step).toBeLessThan(6500);
      }
    });

    test("where one limit is full, nothing is taken from the others", async () => {
      const [wide, narrow] = [limit({ requests: 100 }), limit({ requests: 1 })];
      await takeAll(1, [wide, narrow]);
      expect(await take([wide, narrow])).toMatchObject({ kind: "full", scope: narrow.scope });
      const { used } = await readModelState(database.db);
      expect(used.find((each) => each.scope === wide.scope)).toMatchObject({ requests: 1 });
      expect(used.find((each) => each.scope === narrow.scope)).toMatchObject({ requests: 1, waiting: 1 });
    });

    test("a tenant's own limit holds it and nobody else", async () => {
      const limits = [limit({ requests: 100, tenant_requests: 2 })];
      await takeAll(2, limits, "t_1");
      expect(await take(limits, "t_1")).toMatchObject({ kind: "full" });
      await takeAll(2, limits, "t_2");
    });

    test("tokens are held by what a call may take, and settled by what it took", async () => {
      const limits = [limit({ tokens: 10_000 })];
      const first = await take(limits, "t_1", 8000);
      expect(await take(limits, "t_1", 8000)).toMatchObject({ kind: "full" });
      if (first.kind === "taken") await control.settle(first.ticket, 500);
      expect(await take(limits, "t_1", 8000, true)).toMatchObject({ kind: "taken" });
      // What is larger than the limit goes when all of it is free.
      expect(await take([limit({ tokens: 1000 })], "t_1", 5000)).toMatchObject({ kind: "taken" });
    });

    test("while others wait, a tenant keeps to its share", async () => {
      const limits = [limit({ requests: 10, tenant_requests: 9 })];
      await takeAll(9, limits, "t_greedy");
      await takeAll(1, limits, "t_small");
      expect(await take(limits, "t_small")).toMatchObject({ kind: "full" });
      // Its requests are over, but five of them are the other's now.
      await sql`UPDATE model_buckets SET requests = 4 WHERE scope = ${limits[0]!.scope} AND tenant_id = 't_greedy'`.execute(
        database.db,
      );
      await takeAll(1, limits, "t_greedy");
      expect(await take(limits, "t_greedy", 0, true)).toMatchObject({ kind: "full" });
      for (let asked = 0; asked < 4; asked += 1)
        expect(await take(limits, "t_small", 0, true)).toMatchObject({ kind: "taken" });
    });

    test("a call that is large for its limit is not passed over for ever by small ones", async () => {
      const windowMs = 1200;
      const limits = [limit({ tokens: 10_000 })];
      const ended = new AbortController();
      // Half of the limit, in small calls, whatever the other waits.
      const small = async (): Promise<void> => {
        while (!ended.signal.aborted) {
          await take(limits, "t_small", 250, false, windowMs);
          await new Promise((resolve) => setTimeout(resolve, windowMs / 20));
        }
      };
      const others = small();
      let taken = await take(limits, "t_large", 9000, false, windowMs);
      const from = performance.now();
      while (taken.kind === "full" && performance.now() - from < 20 * windowMs) {
        const { waitMs } = taken;
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        taken = await take(limits, "t_large", 9000, true, windowMs);
      }
      ended.abort();
      await others;
      expect(taken.kind).toBe("taken");
    });

    test("those who were cancelled hold a place for two windows at most", async () => {
      const limits = [limit({ requests: 2 })];
      for (let asked = 0; asked < 200; asked += 1) await take(limits, "t_many", 0, false);
      await sql`DELETE FROM model_buckets WHERE scope = ${limits[0]!.scope}`.execute(database.db);
      // All of it is free, so that nobody who waits can be coming.
      expect(await take(limits, "t_many")).toMatchObject({ kind: "taken" });
      const { rows } = await sql<{ ms: number }>`
        SELECT (extract(epoch FROM waits_until - clock_timestamp()) * 1000)::float8 AS ms FROM model_queues
        WHERE scope = ${limits[0]!.scope}`.execute(database.db);
      expect(rows[0]?.ms).toBeLessThan(5001);
    });

    test("a window that was set longer begins with what it finds", async () => {
      const limits = [limit({ requests: 2 })];
      await takeAll(2, limits);
      expect(await take(limits, "t_1", 0, true, 600_000)).toMatchObject({ kind: "taken" });
    });

    test("in no window is more taken than there is, and little of it is left, however many ask", async () => {
      const windowMs = 1200;
      const limits = [limit({ requests: 24 })];
      const grants: Grant[] = [];
      const until = performance.now() + 3 * windowMs;
      const ask = async (tenant: string): Promise<void> => {
        let waited = false;
        while (performance.now() < until) {
          const taken = await take(limits, tenant, 0, waited, windowMs);
          waited = taken.kind === "full";
          if (taken.kind === "taken") grants.push({ tenant, at: performance.now() });
          else await new Promise((resolve) => setTimeout(resolve, taken.waitMs));
        }
      };
      await Promise.all(Array.from({ length: 40 }, (_, index) => ask(index % 10 === 0 ? "t_few" : "t_many")));
      const times = grants.map((grant) => grant.at).toSorted((a, b) => a - b);
      const mostInWindow = Math.max(
        ...times.map((from) => times.filter((at) => at >= from && at < from + windowMs).length),
      );
      expect(mostInWindow).toBeLessThanOrEqual(24);
      expect(times.length).toBeGreaterThan(24 * 2);
      // A tenth of those who ask, and more than a tenth of what there is.
      expect(grants.filter((grant) => grant.tenant === "t_few").length).toBeGreaterThan(times.length * 0.2);
    });

    test("an open breaker is probed by one, later each time, and closes for all", async () => {
      await control.hold("p/open", "open", "it fails", 0);
      await control.hold("p/open", "cooling", "no, later", 60_000);
      const claims = await Promise.all(Array.from({ length: 4 }, () => control.claimProbe("p/open", 60_000)));
      expect(claims.filter(Boolean)).toHaveLength(1);
      const [half] = (await control.readHeld()).filter((row) => row.target === "p/open");
      expect(half).toMatchObject({ state: "open", reason: "it fails", probing: true });
      expect((await readModelState(database.db)).held).toMatchObject([{ model: "p/open", state: "half_open" }]);
      await control.probeFailed("p/open", "still", 1000, 60_000);
      const left = async () => (await control.readHeld()).find((row) => row.target === "p/open")?.leftMs ?? 0;
      expect(await left()).toBeGreaterThan(1000);
      expect(await control.claimProbe("p/open", 60_000)).toBe(false);
      await control.probeFailed("p/open", "still", 1000, 60_000);
      expect(await left()).toBeGreaterThan(3000);
      for (let failed = 0; failed < 40; failed += 1) await control.probeFailed("p/open", "still", 1000, 60_000);
      expect(await left()).toBeLessThanOrEqual(60_000);
      await control.release("p/open");
      expect(await left()).toBe(0);
    });

    test("one that cools is held as long as its provider said, and no shorter because another said so", async () => {
      await control.hold("p/cool", "cooling", "an hour", 3_600_000);
      await control.hold("p/cool", "cooling", "a second", 1000);
      const [cool] = (await control.readHeld()).filter((row) => row.target === "p/cool");
      expect(cool).toMatchObject({ state: "cooling", reason: "an hour" });
      expect(await control.claimProbe("p/cool", 1000)).toBe(false);
      await control.hold("p/past", "cooling", "over", 0);
      expect((await control.readHeld()).some((row) => row.target === "p/past")).toBe(false);
    });

    test("tests of routes that nobody runs are bounded", async () => {
      const asked = [];
      for (let test = 0; test < 12; test += 1) asked.push(await askModelTest(database.db, `mt_${name}_${test}`, "me"));
      expect(asked).toEqual([...Array<boolean>(10).fill(true), false, false]);
      expect(await findModelTest(database.db, `mt_${name}_0`)).toMatchObject({ result: null });
      expect(await findModelTest(database.db, "mt_none")).toBeUndefined();
    });
  });
}
