/**
 * Postgres ends its connections, stops, has none left or has no room: no process exits, nothing is promised that is not
 * kept (a 202 is a goal that stands), and everything that was accepted ends.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers, notRun } from "../support/servers.ts";
import { every } from "./support/chaos.ts";
import { check } from "./support/check.ts";
import { startOwnPostgres, type OwnServer } from "./support/own-servers.ts";
import { timePosts } from "./support/posts.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

describeWithServers("Postgres", () => {
  let postgres: OwnServer;
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;

  async function begin(settings: Readonly<Record<string, string>> = {}, folder?: string): Promise<void> {
    postgres = await startOwnPostgres(settings, folder);
    sink = await startSink();
    workload = await startWorkload({ sink, calls: ["append", "post", "append"], thinkMs: 50 });
    deployment = await deploy({ size: "redis", executors: 2, env: { ...workload.env, DATABASE_URL: postgres.url } });
  }
  afterEach(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
    await postgres?.close();
  }, 60_000);

  /** Names of processes that have ended. */
  const ended = async () => {
    const states = await Promise.all(
      [...deployment.processes].map(async ([name, process]) =>
        (await Promise.race([process.exited, Promise.resolve("runs")])) === "runs" ? [] : [name],
      ),
    );
    return states.flat();
  };

  const cutMs = sized(6000, 60_000);
  test(
    `ends all connections every 2 s for ${cutMs / 1000} s under load`,
    async () => {
      await begin();
      const posting = timePosts(deployment, workload, { forMs: cutMs, everyMs: sized(300, 400) });
      let cut = 0;
      await every(2000, cutMs, async () => {
        const admin = new pg.Client({ connectionString: postgres.url });
        admin.on("error", () => undefined);
        await admin.connect();
        const { rowCount } = await admin.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        );
        cut += rowCount ?? 0;
        await admin.end();
      });
      const posts = await posting;
      const checked = await check(deployment, { workload, sink, withinMs: 60_000 });
      recordFigures("all Postgres backends terminated every 2 s", { connectionsCut: cut, ...posts, ...checked });
      expect(await ended()).toEqual([]);
      expect(checked.broken).toEqual([]);
      expect(posts.withoutRetryAfter).toBe(0);
      expect(Object.keys(posts.statuses).filter((status) => status !== "202" && status !== "503")).toEqual([]);
      expect(cut).toBeGreaterThan(10);
    },
    cutMs + 120_000,
  );

  const stoppedMs = sized(3000, 10_000);
  test(
    `stopped hard for ${stoppedMs / 1000} s under load`,
    async () => {
      await begin();
      await workload.post(deployment, 10, 50);
      await postgres.kill();
      const posts = await timePosts(deployment, workload, { forMs: stoppedMs, everyMs: 200 });
      const acceptedMeanwhile = posts.statuses["202"] ?? 0;
      await postgres.start();
      const checked = await check(deployment, { workload, sink, withinMs: 60_000 });
      recordFigures("Postgres stopped hard", { stoppedMs, ...posts, ...checked });
      expect(await ended()).toEqual([]);
      expect(acceptedMeanwhile).toBe(0);
      expect(Object.keys(posts.statuses)).toEqual(["503"]);
      expect(posts.withoutRetryAfter).toBe(0);
      expect(checked.broken).toEqual([]);
    },
    stoppedMs + 150_000,
  );

  const takenMs = sized(4000, 20_000);
  test(
    `whose connections are taken by others for ${takenMs / 1000} s`,
    async () => {
      await begin({ max_connections: "40", superuser_reserved_connections: "3" });
      const admin = new pg.Client({ connectionString: postgres.url });
      await admin.connect();
      await admin.query("CREATE ROLE others LOGIN");
      await workload.post(deployment, 10, 50);
      // Ours are ended, and others take what becomes free before we do.
      const url = new URL(postgres.url);
      url.username = "others";
      const others: pg.Client[] = [];
      const take = async (): Promise<void> => {
        for (;;) {
          const client = new pg.Client({ connectionString: url.href });
          client.on("error", () => undefined);
          try {
            await client.connect();
          } catch {
            return;
          }
          others.push(client);
        }
      };
      await take();
      await admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'outerloop%'",
      );
      await take();
      const posts = await timePosts(deployment, workload, { forMs: takenMs, everyMs: 200 });
      const taken = others.length;
      await Promise.all(others.map((client) => client.end()));
      await admin.end();
      const checked = await check(deployment, { workload, sink, withinMs: 60_000 });
      recordFigures("max_connections taken by others", { takenMs, takenByOthers: taken, ...posts, ...checked });
      expect(taken).toBeGreaterThan(10);
      expect(await ended()).toEqual([]);
      expect(Object.keys(posts.statuses).filter((status) => status !== "202" && status !== "503")).toEqual([]);
      expect(checked.broken).toEqual([]);
    },
    takenMs + 150_000,
  );

  const disk = smallDisk();
  const fullMs = sized(3000, 15_000);
  const title = `on a disk that is full for ${fullMs / 1000} s`;
  if (disk === undefined) notRun(title, "mounting a small disk needs root");
  else
    test(
      title,
      async () => {
        const { folder, unmount } = disk();
        try {
          // Small segments, so that the log needs room soon.
          await begin(
            { max_wal_size: "32MB", min_wal_size: "32MB", wal_recycle: "off", shared_buffers: "16MB" },
            folder,
          );
          await workload.post(deployment, 10, 50);
          const ballast = join(folder, "ballast");
          fillDisk(folder, ballast);
          const posts = await timePosts(deployment, workload, { forMs: fullMs, everyMs: 100 });
          rmSync(ballast);
          // A log that could not be written ends the server; whoever runs it starts it again.
          await postgres.kill();
          await postgres.start();
          const checked = await check(deployment, { workload, sink, withinMs: 90_000 });
          recordFigures("Postgres's disk full", { fullMs, ...posts, ...checked });
          expect(await ended()).toEqual([]);
          expect(Object.keys(posts.statuses).filter((status) => status !== "202" && status !== "503")).toEqual([]);
          expect(posts.statuses["503"] ?? 0).toBeGreaterThan(0);
          expect(checked.broken).toEqual([]);
        } finally {
          await deployment?.stop();
          await endProcesses();
          await postgres.kill();
          unmount();
        }
      },
      fullMs + 180_000,
    );
});

/** A disk of 200 MB in memory, where this machine lets us have one. */
function smallDisk(): (() => { readonly folder: string; readonly unmount: () => void }) | undefined {
  const mount = () => {
    const folder = mkdtempSync(join(tmpdir(), "outerloop-disk-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], { stdio: "pipe" });
    return { folder, unmount: () => void execFileSync("umount", ["-l", folder]) };
  };
  try {
    mount().unmount();
    return mount;
  } catch {
    return undefined;
  }
}

function fillDisk(folder: string, ballast: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const block = Buffer.alloc(bsize);
  try {
    writeFileSync(ballast, Buffer.alloc(bavail * bsize));
  } catch {
    // Somebody took of it meanwhile: the rest goes block by block.
  }
  try {
    for (;;) writeFileSync(ballast, block, { flag: "a" });
  } catch {
    // Full.
  }
}
