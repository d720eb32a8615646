/** An ingress on an embedded database, for tests: real store, real queue, no models. */
import {
  createId,
  createLogger,
  createMetrics,
  createProgress,
  createRedactor,
  openEventBus,
  defaultTenant,
  ensureAdminKey,
  ensurePartitions,
  migrate,
  openDatabase,
  openQueueBackend,
  sha256,
  type TenantId,
  addJobs,
  dispatchDue,
  type DueJob,
  type Role,
} from "@outerloop/core";
import { createApp, type IngressApp } from "../app.ts";
import type { IngressOptions, IngressParts } from "../parts.ts";

export interface House extends AsyncDisposable {
  readonly parts: IngressParts;
  readonly app: IngressApp;
  /** What was logged, line by line. */
  readonly lines: Record<string, unknown>[];
  /** Makes a key and gives it back. */
  addKey(role: Role, tenant?: string): Promise<string>;
  /** A request with the admin's key, unless `key` says otherwise. */
  call(path: string, options?: CallOptions): Promise<Response>;
  /** Posts a goal and gives its id back. */
  post(body?: Record<string, unknown>): Promise<string>;
}

export interface CallOptions {
  readonly method?: string;
  readonly key?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, unless it is a string, bytes or a form. */
  readonly body?: unknown;
}

export async function openHouse(options: Partial<IngressOptions> = {}): Promise<House> {
  const database = await openDatabase({ kind: "embedded", folder: null });
  const { db } = database;
  await migrate(db);
  await ensurePartitions(db);
  const queue = await openQueueBackend(database, {
    redis: null,
    keepCompleted: 100,
    keepFailed: 100,
    prefix: "test",
    migrates: true,
  });
  const redactor = createRedactor([]);
  const quiet = createLogger("test", "silent");
  const lines: Record<string, unknown>[] = [];
  const keep = (line: unknown) => void lines.push(line as Record<string, unknown>);
  const log = {
    ...quiet,
    debug: keep,
    info: keep,
    warn: keep,
    error: keep,
    child: () => quiet,
  } as unknown as IngressParts["log"];
  const bus = await openEventBus(
    database,
    () => null,
    { prefix: "test", listens: true, recent: { length: 100, ttlMs: 60_000 }, redactor },
    quiet,
  );
  // As the runtime has it: what cannot be sent, here because the house was closed meanwhile, is the reconciler's.
  const send = (jobs: readonly DueJob[]) => addJobs(queue, jobs).catch(() => undefined);
  const parts: IngressParts = {
    log,
    database,
    db,
    queue,
    bus,
    metrics: createMetrics(),
    progress: createProgress(60_000),
    createId,
    redactor,
    send,
    dispatch: async (tenantId) => send(await dispatchDue<DueJob>(db, tenantId, 500, 64)),
  };
  const app = createApp(parts, { instance: "test", ...options });
  const admin = "ol_test_admin_key";
  await ensureAdminKey(db, defaultTenant, admin, createId);

  const house: House = {
    parts,
    app,
    lines,
    async addKey(role, tenant = defaultTenant) {
      const key = `ol_${createId("key")}`;
      await db
        .insertInto("tenants")
        .values({ id: tenant, name: tenant })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      await ensureAdminKey(db, tenant as TenantId, key, createId);
      await db
        .updateTable("api_keys")
        .set({ role })
        .where("hash", "=", Buffer.from(sha256(key), "hex"))
        .execute();
      return key;
    },
    async call(path, { method, key = admin, headers = {}, body } = {}) {
      const isJson =
        body !== undefined &&
        typeof body !== "string" &&
        !(body instanceof Uint8Array) &&
        !(body instanceof FormData) &&
        !(body instanceof ReadableStream);
      return app.request(`http://test.local${path}`, {
        method: method ?? (body === undefined ? "GET" : "POST"),
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(isJson ? { "content-type": "application/json" } : {}),
          ...headers,
        },
        ...(body === undefined ? {} : { body: (isJson ? JSON.stringify(body) : body) as string, duplex: "half" }),
      } as RequestInit);
    },
    async post(body = {}) {
      const response = await house.call("/v1/goals", { body: { text: "Find out", ...body } });
      if (response.status !== 202) throw new Error(await response.text());
      return ((await response.json()) as { id: string }).id;
    },
    async [Symbol.asyncDispose]() {
      app.stop();
      await bus.close();
      await queue.close();
      await database.close();
    },
  };
  return house;
}
