/** What operators see of models, and ask of those who call them: views of routes, tests, what limits and breakers stand at. */
import { sql } from "kysely";
import { z } from "zod";
import { storable } from "../domain/json.ts";
import type { ModelSettings, RouteView, TestedModel } from "../models/index.ts";
import type { Db } from "./database.ts";

export interface ModelView {
  readonly service: string;
  readonly routes: readonly RouteView[];
  readonly providers: readonly { readonly name: string; readonly kind: string }[];
  readonly limits: ModelSettings["limits"];
  readonly breaker: ModelSettings["breaker"];
  readonly retry: ModelSettings["retry"];
  readonly overrides: ModelSettings["overrides"];
  readonly windowMs: number;
}

export interface WrittenView {
  readonly lease: string;
  readonly service: string;
  readonly routes: readonly RouteView[];
  readonly settings: ModelSettings;
}

/** No addresses and no keys: what a provider is reached by is its operator's. */
export async function writeModelView(db: Db, { lease, service, routes, settings }: WrittenView): Promise<void> {
  const { limits, breaker, retry, overrides, windowMs } = settings;
  const providers = Object.entries(settings.providers).map(([name, { kind }]) => ({ name, kind }));
  const view: ModelView = { service, routes, providers, limits, breaker, retry, overrides, windowMs };
  await sql`
    INSERT INTO model_views (lease_id, service, view) VALUES (${lease}, ${service}, ${JSON.stringify(view)}::jsonb)
    ON CONFLICT (lease_id) DO UPDATE SET view = excluded.view, at = clock_timestamp()`.execute(db);
}

/** One that is asked for and nobody runs; whoever dies with it leaves it to another after `forMs`. */
export async function takeModelTest(db: Db, forMs: number): Promise<string | null> {
  const { rows } = await sql<{ id: string }>`
    UPDATE model_tests SET taken_until = clock_timestamp() + make_interval(secs => ${forMs / 1000})
    WHERE id = (SELECT id FROM model_tests WHERE done_at IS NULL AND coalesce(taken_until, '-infinity') < clock_timestamp()
        AND asked_at > clock_timestamp() - interval '10 minutes' ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id`.execute(db);
  return rows[0]?.id ?? null;
}

export async function finishModelTest(db: Db, id: string, result: readonly TestedModel[]): Promise<void> {
  await sql`
    UPDATE model_tests SET result = ${JSON.stringify(storable(result))}::jsonb, done_at = clock_timestamp() WHERE id = ${id}`.execute(
    db,
  );
}

/** Tests that nobody has run yet; more are refused. */
const maxOpenTests = 10;

/** @returns false where too many wait already */
export async function askModelTest(db: Db, id: string, by: string): Promise<boolean> {
  const { numAffectedRows } = await sql`
    INSERT INTO model_tests (id, asked_by) SELECT ${id}, ${by}
    WHERE (SELECT count(*) FROM model_tests WHERE done_at IS NULL AND asked_at > clock_timestamp() - interval '10 minutes') < ${maxOpenTests}`.execute(
    db,
  );
  return numAffectedRows === 1n;
}

export interface ModelTest {
  readonly id: string;
  readonly askedAt: Date;
  /** null while it runs, or nobody has taken it. */
  readonly result: readonly TestedModel[] | null;
}

export async function findModelTest(db: Db, id: string): Promise<ModelTest | undefined> {
  const { rows } = await sql<{ id: string; asked_at: Date; result: readonly TestedModel[] | null }>`
    SELECT id, asked_at, result FROM model_tests WHERE id = ${id}`.execute(db);
  return rows.map((row) => ({ id: row.id, askedAt: row.asked_at, result: row.result }))[0];
}

export interface ModelState {
  /** Of processes that live, one for each way in which they route: more than one where their settings differ. */
  readonly views: readonly (ModelView & { readonly processes: number; readonly services: readonly string[] })[];
  readonly held: readonly {
    readonly model: string;
    readonly state: "open" | "half_open" | "cooling";
    readonly reason: string;
    readonly since: string;
    readonly leftMs: number;
    readonly failedProbes: number;
  }[];
  readonly used: readonly {
    readonly scope: string;
    readonly requests: number;
    readonly tokens: number;
    /** Tenants that wait for their turn. */
    readonly waiting: number;
  }[];
}

interface ViewRow {
  readonly view: ModelView;
  readonly processes: number;
  readonly services: readonly string[];
}

interface HeldRow {
  readonly target: string;
  readonly state: "open" | "half_open" | "cooling";
  readonly reason: string;
  readonly since: Date;
  readonly left_ms: number;
  readonly failed_probes: number;
}

/** Ways of routing that are shown; more of them are a roll-out that never ends. */
const maxViews = 20;
const maxHeld = 200;

export async function readModelState(db: Db): Promise<ModelState> {
  const views = await sql<ViewRow>`
    SELECT v.view - 'service' AS view, count(*)::integer AS processes, json_agg(DISTINCT v.service) AS services
    FROM model_views v JOIN leases l ON l.id = v.lease_id AND l.expires_at > clock_timestamp()
    GROUP BY v.view - 'service' ORDER BY 2 DESC LIMIT ${maxViews}`.execute(db);
  const held = await sql<HeldRow>`
    SELECT target, CASE WHEN state = 'open' AND probe_until > clock_timestamp() THEN 'half_open' ELSE state END AS state, reason, since,
      greatest(extract(epoch FROM held_until - clock_timestamp()) * 1000, 0)::float8 AS left_ms, failed_probes
    FROM model_breakers WHERE state = 'open' OR held_until > clock_timestamp() ORDER BY target LIMIT ${maxHeld}`.execute(
    db,
  );
  const windowMs = z.number().catch(60_000).parse(views.rows[0]?.view.windowMs);
  const used = await sql<{ scope: string; requests: string; tokens: string; waiting: string }>`
    SELECT * FROM used_model_slots(${windowMs}::bigint) ORDER BY scope`.execute(db);
  return {
    views: views.rows.map(({ view, processes, services }) => ({ ...view, processes, services })),
    held: held.rows.map((row) => ({
      model: row.target,
      state: row.state,
      reason: row.reason,
      since: row.since.toISOString(),
      leftMs: Math.ceil(row.left_ms),
      failedProbes: row.failed_probes,
    })),
    used: used.rows.map((row) => ({
      scope: row.scope,
      requests: Number(row.requests),
      tokens: Number(row.tokens),
      waiting: Number(row.waiting),
    })),
  };
}
