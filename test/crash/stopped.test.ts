/**
 * A worker is stopped past its claim and then continued, as by a debugger, a frozen machine or a long pause of its
 * collector: others have taken over, and what it still holds in its hands changes nothing (W3).
 */
import { readFileSync } from "node:fs";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses, type ServiceProcess } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { recordFigures } from "./support/size.ts";
import { startWorkload, type Call, type Workload } from "./support/workload.ts";

const isTakenUp = (line: { readonly event?: string }) => line.event === "task_taken_up";

describeWithServers("a worker stopped past its claim", () => {
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;

  async function begin(
    calls: readonly Call[],
    executorEnv: Readonly<Record<string, string>> = {},
  ): Promise<ServiceProcess> {
    sink = await startSink();
    workload = await startWorkload({ sink, calls });
    deployment = await deploy({ size: "redis", onlyIngress: true, env: workload.env });
    const [first] = await Promise.all([
      deployment.start("executor", "executor-1", executorEnv),
      deployment.start("planner"),
      deployment.start("reflector"),
    ]);
    return first;
  }
  afterEach(async () => {
    // One that is still stopped would not hear that it must end.
    for (const process of deployment?.processes.values() ?? []) process.kill("SIGCONT");
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
  }, 60_000);

  /** What was written under each fence, in the order of the journal. */
  async function fencesOfJournal(): Promise<readonly number[]> {
    const client = new pg.Client({ connectionString: deployment.databaseUrl });
    await client.connect();
    const { rows } = await client.query<{ fence: string }>(
      "SELECT fence FROM steps WHERE subject_id LIKE 't_%' AND stage = 'execute' ORDER BY number",
    );
    await client.end();
    return rows.map((row) => Number(row.fence));
  }

  test("in the middle of a tool, then continued: no row changes by its fence, one effect", async () => {
    const first = await begin(["append", "post", "append"]);
    const stopped = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    sink.onDelivery(() => {
      if (sink.deliveries.length > 1) return;
      // It has sent, and is stopped before it hears the answer.
      first.kill("SIGSTOP");
      stopped.resolve();
      return answer.promise;
    });
    await workload.post(deployment, 1);
    await stopped.promise;
    const second = await deployment.start("executor", "executor-2");
    await second.until(isTakenUp, "it took the task up");
    answer.resolve();
    const checked = await check(deployment, { workload, sink, withinMs: 30_000 });
    const before = await fencesOfJournal();
    first.kill("SIGCONT");
    await first.until((line) => line.event === "execute_stale", "it found its claim lost");
    const fences = await fencesOfJournal();
    recordFigures("SIGSTOP in the middle of a tool", { rowsByOldFence: fences.length - before.length, ...checked });
    expect(checked.broken).toEqual([]);
    expect(checked.effects).toBe(1);
    expect(fences).toEqual(before);
    // Once the second has written, the first never does again.
    expect(fences).toEqual(fences.toSorted((a, b) => a - b));
    expect(new Set(fences).size).toBe(2);
  }, 120_000);

  test("between intent and send, then continued: nothing is sent behind a person's back, and one mail in the end", async () => {
    const first = await begin(["append", "mail"], { OUTERLOOP_FAILPOINT: "effect.intended:1:stop" });
    await workload.post(deployment, 1);
    await expect.poll(() => stateOf(first), { timeout: 30_000 }).toBe("T");
    const second = await deployment.start("executor", "executor-2");
    await second.until(isTakenUp, "it took the task up");
    // Nobody knows whether it was sent, and the receiver could not tell a repetition: a person is asked.
    const asked = async () => (await deployment.client.approvals.page()).items;
    await expect.poll(async () => (await asked()).length, { timeout: 30_000 }).toBe(1);
    const [question] = await asked();
    expect(question).toMatchObject({ kind: "outcome", tool: "sink_mail" });
    expect(sink.deliveries).toEqual([]);

    first.kill("SIGCONT");
    await first.until((line) => line.event === "execute_stale", "it found its claim lost");
    expect(sink.deliveries).toEqual([]);

    await deployment.client.approvals.decide(question!.id, { decision: "run_again" });
    const checked = await check(deployment, { workload, sink, withinMs: 30_000 });
    recordFigures("SIGSTOP between intent and send", { mails: sink.deliveries.length, ...checked });
    expect(checked.broken).toEqual([]);
    expect(sink.deliveries).toHaveLength(1);
  }, 120_000);
});

/** As `ps` shows it: T is stopped. */
function stateOf(process: ServiceProcess): string {
  return /\) (\w)/.exec(readFileSync(`/proc/${process.pid}/stat`, "utf8"))?.[1] ?? "?";
}
