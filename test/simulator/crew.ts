/**
 * The processes of a simulation. Each runs the product's own stage runtime, worker shells and handlers over what it is handed;
 * they are killed, stopped, drained and started again under a new lease.
 */
import {
  createLoneIsolation,
  createMetrics,
  expiredClaimsBeforeIsolation,
  noIsolation,
  noTextDeltas,
  startStageRuntime,
  type Config,
  type CreateId,
  type Claimer,
  type Door,
  type Isolation,
  type IsolationEnd,
  type LeaseId,
  type Logger,
  type StageModels,
  type QueueName,
  type Run,
  type StageHandler,
  type StageParts,
  type StageRuntime,
  type Store,
} from "@outerloop/core";
import { createExecutor } from "@outerloop/executor";
import { createPlanner } from "@outerloop/planner";
import { createReflector } from "@outerloop/reflector";
import type { Registry } from "@outerloop/skills";
import type { ModelQueue } from "./queue.ts";
import type { Random } from "./random.ts";
import { currentActor, runAs, type Actor, type SimulatedProcess, type World } from "./world.ts";

export interface CrewParts {
  readonly world: World;
  readonly random: Random;
  readonly config: Config;
  readonly stagesOf: readonly (readonly QueueName[])[];
  readonly store: Store;
  readonly queue: ModelQueue;
  readonly models: StageModels;
  readonly registry: Registry;
  readonly createId: CreateId;
  /** One process with a database of its own, which no other can open. */
  readonly isEmbedded: boolean;
  readonly note: (line: () => string) => void;
  readonly onFault: (what: string) => void;
  /** A worker was told that its claim is lost. */
  readonly onStale: (id: string, fence: number) => void;
}

export interface Crew {
  start(place: number): void;
  /** One of them is gone from one moment to the next. */
  kill(): void;
  /** One of them is told to end: it hands back what it holds, and another takes its place. */
  drain(): void;
  /** One of them stands still and knows nothing of it. */
  stop(ms: number): void;
  /** The one of this name is struck where it stands. */
  strike(name: string, how: "dies" | "stops", ms: number): void;
  /** The simulation is over. */
  end(): void;
}

interface Member {
  readonly process: SimulatedProcess;
  /** Processes that work on one claim of this one's (W8). */
  readonly children: SimulatedProcess[];
  close(): Promise<void>;
}

/** Of work that runs alone because its processes died: nothing is wrong with it, and still its process may end. */
const childDeath = 0.2;

export function createCrew(parts: CrewParts): Crew {
  const { world, random, config, store, note, isEmbedded } = parts;
  const members: (Member | undefined)[] = [];
  let born = 0;
  const alive = () => members.filter((member) => member?.process.alive === true) as Member[];

  function stagePartsOf(
    process: SimulatedProcess,
    lease: LeaseId,
    isChild: boolean,
  ): Omit<StageParts, "createIsolation"> {
    return {
      config,
      service: "simulated",
      log: createLog((level, line) => {
        note(() => `${process.name} ${level} ${JSON.stringify(line)}`);
        if (level === "error" && isFault(line)) parts.onFault(`${process.name}: ${JSON.stringify(line)}`);
      }),
      store,
      queue: parts.queue.backend() as never,
      bus: { publish: () => undefined },
      texts: noTextDeltas,
      models: parts.models,
      metrics: sharedMetrics,
      createId: parts.createId,
      lease,
      leaseMs: config.leaseMs,
      isChild,
      keepHouse: async () => undefined,
      onClose: () => undefined,
      onWork: () => undefined,
    };
  }

  function start(place: number): void {
    const process: SimulatedProcess = { name: `p${place}.${born++}`, alive: true, stoppedUntil: 0 };
    const closers: (() => Promise<unknown>)[] = [];
    const children: SimulatedProcess[] = [];
    const close = async () => {
      for (const end of closers.splice(0).toReversed()) await end().catch(() => undefined);
    };
    const member: Member = { process, children, close };
    members[place] = member;
    note(() => `${process.name} starts`);
    runAs({ process }, () => {
      void open(place, member, closers).catch(() => die(place));
    });
  }

  async function open(place: number, member: Member, closers: (() => Promise<unknown>)[]): Promise<void> {
    const { process } = member;
    // Whatever lease is there at its start belongs to a dead one.
    if (isEmbedded) await store.dropAllLeases();
    const runtime = await startStageRuntime({
      ...stagePartsOf(process, parts.createId("lease"), false),
      createIsolation: (given) => (isEmbedded ? createLoneIsolation(given) : createChildren(member, given.lease)),
      onClose: (end) => void closers.push(end),
    });
    for (const stage of parts.stagesOf[place]!)
      runtime.startWorker(stage, namingClaims(process, stage, runtime), slotsOf(config, stage));
  }

  function die(place: number): void {
    const member = members[place];
    if (member?.process.alive !== true) return;
    for (const process of [member.process, ...member.children]) process.alive = false;
    note(() => `${member.process.name} dies`);
    world.after(random.int(100, 4000), null, () => start(place));
  }

  function stop(member: Member, ms: number): void {
    note(() => `${member.process.name} is stopped for ${ms} ms`);
    for (const process of [member.process, ...member.children]) process.stoppedUntil = world.now + ms;
  }

  const placeOf = (member: Member) => members.indexOf(member);
  const anyone = (): Member | undefined => {
    const all = alive();
    return all.length === 0 ? undefined : random.pick(all);
  };

  /** As the product's child isolation: what may end its process runs in one of its own, under its parent's lease. */
  function createChildren(parent: Member, lease: LeaseId): Isolation {
    return {
      beforeClaim: async () => () => undefined,
      run: async (claim, work, lost, draining) => {
        if (claim.expiredClaims < expiredClaimsBeforeIsolation) return work(lost);
        const child: SimulatedProcess = { name: `${parent.process.name}/c${born++}`, alive: true, stoppedUntil: 0 };
        parent.children.push(child);
        note(() => `${child.name} starts for ${claim.id}`);
        const actor = currentActor();
        return new Promise<IsolationEnd>((resolve) => {
          const end = (how: IsolationEnd) => {
            if (!child.alive) return;
            child.alive = false;
            world.after(1, actor, () => resolve(how));
          };
          lost.addEventListener("abort", () => end({ outcome: "stale", failure: null }), { once: true });
          if (random.chance(childDeath))
            world.after(random.int(10, 3000), null, () => end({ outcome: "died", reason: "it ends its process" }));
          runAs({ process: child, claim: { kind: claim.kind, id: claim.id, fence: claim.fence } }, () => {
            void workInChild(child, lease, claim, draining).then(
              (failure) => end(failure === null ? { outcome: "moved", failure } : { outcome: "failed", failure }),
              () => end({ outcome: "died", reason: "it ended with a fault" }),
            );
          });
        });
      },
    };
  }

  async function workInChild(
    child: SimulatedProcess,
    lease: LeaseId,
    claim: Parameters<Isolation["run"]>[0],
    draining: AbortSignal,
  ): Promise<string | null> {
    const runtime = await startStageRuntime({
      ...stagePartsOf(child, lease, true),
      createIsolation: () => noIsolation,
    });
    const run = await createHandler(claim.stage, runtime).takeUp(claim.id, claim.fence);
    return run === null ? null : run(draining);
  }

  function createHandler(stage: QueueName, runtime: StageRuntime): StageHandler {
    switch (stage) {
      case "plan":
        return createPlanner(runtime, parts.registry);
      case "execute":
        return createExecutor(runtime, parts.registry);
      case "reflect":
        return createReflector(runtime, parts.registry);
    }
  }

  /** The stage's own handler, whose runs are known by the claim that they work on. */
  function namingClaims(process: SimulatedProcess, stage: QueueName, runtime: StageRuntime): StageHandler {
    const door: Door = {
      commit: async (write) => {
        const committed = await runtime.door.commit(write);
        if (committed.outcome === "stale") parts.onStale(write.task ?? write.goal, write.fence);
        return committed;
      },
    };
    const handler = createHandler(stage, { ...runtime, door });
    return {
      async claim(payload, limit) {
        let names: readonly Actor["claim"][] = [];
        const claimer: Claimer = {
          claimTasks: async (request) => {
            const reply = await runtime.claimer.claimTasks(request);
            names = reply.claimed.map(({ task, fence }) => ({ kind: "task", id: task.id, fence }));
            return reply;
          },
          claimGoal: async (goalId) => {
            const reply = await runtime.claimer.claimGoal(goalId);
            names = reply === undefined ? [] : [{ kind: "goal", id: reply.goal.id, fence: reply.fence }];
            return reply;
          },
        };
        const runs = await createHandler(stage, { ...runtime, door, claimer }).claim(payload, limit);
        return runs.map((run, index): Run => {
          const claim = names[index];
          return (draining) => runAs({ process, ...(claim !== undefined && { claim }) }, () => run(draining));
        });
      },
      takeUp: (id, fence) => handler.takeUp(id, fence),
    };
  }

  return {
    start,
    kill() {
      const member = anyone();
      if (member !== undefined) die(placeOf(member));
    },
    drain() {
      const member = anyone();
      if (member === undefined) return;
      note(() => `${member.process.name} drains`);
      runAs({ process: member.process }, () => void member.close().then(() => die(placeOf(member))));
    },
    stop(ms) {
      const member = anyone();
      if (member !== undefined) stop(member, ms);
    },
    strike(name, how, ms) {
      const member = alive().find(({ process }) => process.name === name);
      if (member === undefined) return;
      if (how === "stops") stop(member, ms);
      else die(placeOf(member));
    },
    end() {
      for (const { process, children } of alive()) for (const each of [process, ...children]) each.alive = false;
    },
  };
}

const sharedMetrics = createMetrics();

/** A fault of the product: what is told as one, whoever caused it. */
const isFault = (line: Readonly<Record<string, unknown>>) =>
  typeof line["event"] === "string" && (line["event"].endsWith("_fault") || line["event"] === "worker_loop_ended");

function createLog(write: (level: string, line: Readonly<Record<string, unknown>>) => void): Logger {
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (line: Record<string, unknown>) => write("warn", line),
    error: (line: Record<string, unknown>) => write("error", line),
    child: () => log,
  };
  return log as unknown as Logger;
}

const slotsOf = (config: Config, stage: QueueName) =>
  ({ plan: config.slots.planner, execute: config.slots.executor, reflect: config.slots.reflector })[stage];
