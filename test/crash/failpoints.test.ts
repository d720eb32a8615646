/**
 * A process dies at every edge between two effects, again and again at the same one: whoever comes after it finds what it
 * left, and goes on. Each place says who passes it, and what brings them there.
 */
import type { FailpointName } from "@outerloop/core";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterEach, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { postUntilAccepted } from "./support/posts.ts";
import { startSink, type Sink } from "./support/sink.ts";
import { isFull, recordFigures } from "./support/size.ts";
import { startWorkload, type Call, type Workload } from "./support/workload.ts";

interface Place {
  readonly name: FailpointName;
  readonly service: "ingress" | "planner" | "executor" | "reflector";
  /** What its goals' tasks call. */
  readonly calls?: readonly Call[];
  readonly env?: Readonly<Record<string, string>>;
  /** For all processes, not only the one that is to die. */
  readonly everywhere?: Readonly<Record<string, string>>;
  /** Besides goals, what brings a process there. */
  readonly provoke?: (deployment: Deployment) => Promise<void>;
  /** What must go on after the last death, for goals to end. */
  readonly attend?: (deployment: Deployment) => Promise<void>;
}

/** Only the process that is to die there looks for lost work; the others leave it to it. */
const onlyReconciler = { OUTERLOOP_RECONCILE_MS: "200" };

const places: readonly Place[] = [
  { name: "submit.committed", service: "ingress" },
  { name: "submit.dispatched", service: "ingress" },
  { name: "commit.applied", service: "planner" },
  { name: "commit.applied", service: "executor" },
  { name: "commit.applied", service: "reflector" },
  { name: "commit.dispatched", service: "planner" },
  { name: "commit.dispatched", service: "executor" },
  { name: "commit.dispatched", service: "reflector" },
  // A job of three tasks for two slots: the third is handed back, and sent again.
  { name: "dispatch.marked", service: "executor", env: { OUTERLOOP_EXECUTOR_SLOTS: "2" } },
  { name: "job.fetched", service: "planner" },
  { name: "job.fetched", service: "executor" },
  { name: "job.fetched", service: "reflector" },
  { name: "plan.claimed", service: "planner" },
  { name: "plan.answered", service: "planner" },
  { name: "plan.committed", service: "planner" },
  { name: "execute.claimed", service: "executor" },
  { name: "execute.answered", service: "executor" },
  { name: "execute.committed", service: "executor" },
  { name: "tool.ran", service: "executor" },
  { name: "effect.intended", service: "executor" },
  { name: "effect.sent", service: "executor" },
  { name: "effect.journaled", service: "executor" },
  { name: "wait.requested", service: "executor", calls: ["append", "sleep", "post"] },
  { name: "wait.committed", service: "executor", calls: ["append", "sleep", "post"] },
  { name: "wait.fired", service: "planner", calls: ["append", "sleep", "post"] },
  { name: "signal.committed", service: "ingress", calls: ["append", "signal", "post"], attend: sendSignals },
  { name: "decision.committed", service: "ingress", everywhere: { OUTERLOOP_AUTO_APPROVE: "" }, attend: approveAll },
  { name: "reflect.claimed", service: "reflector" },
  { name: "reflect.answered", service: "reflector" },
  { name: "reflect.committed", service: "reflector" },
  { name: "reconcile.released", service: "planner", env: onlyReconciler, provoke: killExecutorInWork },
  { name: "reconcile.forgot", service: "planner", env: onlyReconciler, provoke: forgetQueues },
  { name: "reconcile.dispatched", service: "planner", env: onlyReconciler, provoke: forgetQueues },
];

async function killExecutorInWork(deployment: Deployment): Promise<void> {
  const executor = deployment.processes.get("executor-1")!;
  await executor.until((line) => line.event === "task_started" || line.event === "task_taken_up", "it had a task");
  executor.kill("SIGKILL");
  await executor.exited;
  await deployment.start("executor", "executor-1");
}

/** To every goal that may wait for one. Sent again after a death, under the same key: the goal must not read it twice. */
async function sendSignals(deployment: Deployment): Promise<void> {
  const waiting = await deployment.client.goals.page({ status: "running" });
  for (const { id } of waiting.items)
    await deployment.client.goals.signal(id, { name: "go" }, { idempotencyKey: `go-${id}` });
}

async function approveAll(deployment: Deployment): Promise<void> {
  for await (const { id } of deployment.client.approvals.list())
    await deployment.client.approvals.decide(id, { decision: "approve" });
}

async function forgetQueues(deployment: Deployment): Promise<void> {
  // What comes while nobody takes it lies on the queue when that is emptied.
  const executor = deployment.processes.get("executor-1")!;
  executor.kill("SIGSTOP");
  await sleep(800);
  const redis = new Redis(deployment.env["REDIS_URL"]!);
  await redis.flushdb();
  redis.disconnect();
  executor.kill("SIGCONT");
}

const kills = isFull ? 20 : 1;
/**
 * From the last start until all goals have ended. Less than BullMQ takes to find by itself that a job's worker has died
 * (30 to 60 s): nothing may rest on that.
 */
const settleMs = isFull ? 240_000 : 20_000;
/** In `npm test` one place each of a write, a plan and a call that reaches out; all of them are hit by the full run. */
const quickly = new Set([
  "commit.applied executor",
  "plan.committed planner",
  "effect.sent executor",
  "job.fetched executor",
]);

describeWithServers("a process that dies between two effects", () => {
  let sink: Sink;
  let workload: Workload;
  let deployment: Deployment;
  afterEach(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
    await sink?.close();
  }, 60_000);

  for (const place of places.filter(({ name, service }) => isFull || quickly.has(`${name} ${service}`))) {
    test(
      `at ${place.name} in the ${place.service}, ${kills} times: all goals end, each effect once`,
      async () => {
        sink = await startSink();
        workload = await startWorkload({
          sink,
          tasks: 3,
          calls: place.calls ?? ["append", "post"],
          thinkMs: place.provoke === undefined ? 20 : 300,
        });
        const others = place.env === onlyReconciler ? { OUTERLOOP_RECONCILE_MS: "600000" } : {};
        // What was claimed by three that died before it got on runs alone, which takes its time.
        const alone = { OUTERLOOP_ISOLATED_RUNS: "4" };
        deployment = await deploy({
          size: "redis",
          env: { ...workload.env, ...alone, ...place.everywhere, ...others },
        });
        const name = place.service === "executor" ? "executor-1" : place.service;
        const port = new URL(deployment.url).port;
        const env = { ...place.env, ...(place.service === "ingress" ? { PORT: port } : {}) };

        const healthy = deployment.processes.get(name)!;
        healthy.kill("SIGTERM");
        expect(await healthy.exited).toBe(0);
        const posting: Promise<void>[] = [];
        let checkedAll = false;
        const attending = place.attend === undefined ? undefined : repeat(place.attend, () => checkedAll);
        for (let kill = 0; kill < kills; kill += 1) {
          // Not always at the first pass, so that it dies with more or less behind it.
          const victim = await deployment.start(place.service, name, {
            ...env,
            OUTERLOOP_FAILPOINT: `${place.name}:${place.service === "ingress" ? 1 : 1 + (kill % 3)}`,
          });
          let died = false;
          const end = victim.exited.then((how) => {
            died = true;
            return how;
          });
          const provoking = place.provoke === undefined ? undefined : repeat(place.provoke, () => died);
          // As many goals as it takes to come to that pass.
          while (!died) {
            posting.push(postUntilAccepted(deployment, workload));
            await settle(end);
          }
          expect(await end).toBe("SIGKILL");
          await provoking;
        }
        await deployment.start(place.service, name, env);
        await Promise.all(posting);
        const checked = await check(deployment, { workload, sink, withinMs: settleMs });
        checkedAll = true;
        await attending;
        recordFigures(`killed at ${place.name} (${place.service})`, { kills, ...checked });
        expect(checked.broken).toEqual([]);
      },
      kills * 20_000 + settleMs + 120_000,
    );
  }

  async function repeat(work: (deployment: Deployment) => Promise<void>, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      // Whom it asks may be the one that dies.
      await work(deployment).catch(() => undefined);
      await sleep(300);
    }
  }
});

/** Gives what was posted time to come to the place, and no more than it needs. */
function settle(end: Promise<unknown>): Promise<unknown> {
  return Promise.race([end, sleep(700)]);
}
