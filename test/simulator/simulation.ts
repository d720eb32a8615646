/**
 * One seed: some goals, some processes that run the product's own stages, worker shell, door and upkeep over the models of
 * store, queue, providers and receivers, people, and bad weather. Then the weather clears, people decide what is open, and
 * everything must come to an end. The same seed gives the same run, to the last operation.
 */
import {
  createIds,
  createMetrics,
  OuterloopError,
  readConfig,
  startStageRuntime,
  storeCalls,
  type Claimer,
  type CommitReply,
  type Config,
  type Isolation,
  type Logger,
  type QueueName,
  type Run,
  type SealedWrite,
  type StageHandler,
  type StageRuntime,
  type Store,
  type Write,
} from "@outerloop/core";
import { createExecutor } from "@outerloop/executor";
import { createPlanner } from "@outerloop/planner";
import { createReflector } from "@outerloop/reflector";
import { createRegistry } from "@outerloop/skills";
import { createChecks, Violation, type Operation } from "./checks.ts";
import { createModelCalls, type ModelCalls } from "./model/store.ts";
import { createTables, type Tables } from "./model/tables.ts";
import { callOver, fairWeather, type Weather } from "./network.ts";
import { createOutside } from "./outside.ts";
import { chooseDeed, decide, moreFor, perform, type Deed } from "./people.ts";
import { createScriptedModels } from "./provider.ts";
import { createModelQueue } from "./queue.ts";
import { createRandom, type Random } from "./random.ts";
import { currentActor, runAs, createRealm, World, type Actor, type Realm, type SimulatedProcess } from "./world.ts";

export interface Recorded {
  /** By the store's clock. */
  readonly at: number;
  readonly call: Operation | { readonly deed: Deed; readonly answer: string };
  readonly touched: readonly string[];
}

export interface SimulationOptions {
  readonly seed: number;
  /** Keeps what happened, for people to read. */
  readonly trace?: boolean;
  /** Holds the product to what is known not to hold yet, too. */
  readonly strict?: boolean;
  /** No goal is locked by others: what happens, one session on a real store can do too. */
  readonly singleSession?: boolean;
  /** Is told of every operation after it was applied, in real time: the world waits. */
  readonly follow?: (recorded: Recorded, tables: Tables) => Promise<void>;
}

export interface Simulated {
  readonly seed: number;
  readonly violation: Violation | null;
  /** Of everything that happened, in order. */
  readonly hash: string;
  readonly trace: readonly string[];
  readonly operations: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly ends: Readonly<Record<string, number>>;
}

/** What a seed decides before anything runs. */
interface Setting {
  readonly processes: number;
  readonly goals: number;
  readonly tenants: number;
  readonly chaosMs: number;
  /** Between two deaths, stops, deeds, … on average. */
  readonly deathEveryMs: number;
  readonly stopEveryMs: number;
  readonly deedEveryMs: number;
  readonly flushEveryMs: number;
  readonly busy: number;
  readonly batches: boolean;
}

/** A goal that has not ended this long after everything became quiet is stuck. */
const patienceMs = 45 * 60_000;
/** Decisions come this often in the end. */
const tidyEveryMs = 2000;
const maxEvents = 400_000;

export async function simulate(options: SimulationOptions): Promise<Simulated> {
  const random = createRandom(options.seed);
  const world = new World(random.fork());
  const realm = createRealm(world);
  realm.enter();
  try {
    return await runSeed(options, world, random, realm);
  } finally {
    realm.leave();
  }
}

async function runSeed(options: SimulationOptions, world: World, random: Random, realm: Realm): Promise<Simulated> {
  const setting = drawSetting(random, options.singleSession === true);
  const config = drawConfig(random);
  const tables = createTables(() => world.now);
  const calls = createModelCalls(tables);
  const createId = createIds((size) => random.bytes(size));
  const trace: string[] = [];
  let hash = 0x811c9dc5;
  let operations = 0;
  let violation: Violation | null = null;
  let unfollowed: Recorded[] = [];
  const { follow } = options;
  /** Each event applies one operation at most, so the rows are still what it left. */
  const catchUp = async () => {
    const [recorded, ...more] = unfollowed;
    if (recorded === undefined || follow === undefined) return;
    if (more.length > 0) throw new Error("one event applied several operations");
    unfollowed = [];
    realm.leave();
    try {
      await follow(recorded, tables);
    } finally {
      realm.enter();
    }
  };

  const note = (line: () => string) => {
    if (options.trace === true) trace.push(`${(world.elapsedMs / 1000).toFixed(3)} ${line()}`);
  };
  const mix = (text: string) => {
    for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  };
  const found = (thrown: unknown) => {
    if (!(thrown instanceof Error)) throw thrown;
    violation ??= thrown instanceof Violation ? thrown : new Violation("W1", thrown.stack ?? thrown.message);
  };
  const guarded = (check: () => void) => {
    if (violation !== null) return;
    try {
      check();
    } catch (thrown) {
      found(thrown);
    }
  };

  const isAuto = (tool: string) => config.policy.autoApprove === "all" || config.policy.autoApprove.has(tool);
  const checks = createChecks(tables, () => outside, {
    tenantCap: config.tenantInFlight,
    isAuto,
    strict: options.strict === true,
  });

  /** Applies one operation at an instant of its own. */
  function apply<Reply>(
    by: string | null,
    name: string,
    args: readonly unknown[],
    run: () => Reply,
    deed?: Deed,
  ): Reply {
    world.tick();
    tables.touched.clear();
    tables.busy = random.chance(setting.busy) ? chooseBusy(tables, random) : new Set();
    operations += 1;
    let reply: Reply | Error;
    try {
      reply = run();
    } catch (thrown) {
      reply = thrown as Error;
    }
    const touched = [...tables.touched];
    for (const id of touched) {
      const { goal } = tables.books.get(id)!;
      mix(`${world.now} ${by} ${name} ${id} ${goal.status} ${goal.event_seq} ${goal.fence} ${goal.step_seq}`);
    }
    note(() => `${by ?? "people"} ${name} ${describe(name, args, reply)}`);
    guarded(() => checks.after({ name, args, reply, by }));
    if (options.follow !== undefined)
      unfollowed.push({
        at: world.now,
        call: deed === undefined ? { name, args, reply, by } : { deed, answer: String(reply) },
        touched,
      });
    if (reply instanceof Error) throw reply;
    return reply;
  }

  const weather: Weather = fairWeather();
  const queueWeather: Weather = fairWeather();
  const queueFaults = { drops: 0, duplicates: 0, reorders: 0, delays: 0 };
  const providerFaults = { away: 0, fatal: 0, malformed: 0 };
  const outsideFaults = { refusals: 0, silences: 0, hangs: 0 };
  drawFaults(random, weather, queueWeather, queueFaults, providerFaults, outsideFaults);

  const outside = createOutside(
    world,
    random.fork(),
    outsideFaults,
    (tool, args, context) => guarded(() => checks.onToolCall(tool, args, context, currentActor())),
    (delivery) => {
      note(() => `outside ${delivery.tool}(${delivery.args.n}) arrives with ${delivery.key.slice(0, 8)}`);
      guarded(() => checks.onDelivery(delivery));
    },
  );
  const registry = createRegistry(outside.skills);
  const queue = createModelQueue(world, random.fork(), queueWeather, queueFaults);
  const models = createScriptedModels(world, random.fork(), providerFaults, {
    keysOf: (goalId) => tables.books.get(goalId)?.tasks.map((task) => task.key) ?? [],
    roundOf: (goalId) => tables.books.get(goalId)?.goal.plan_round ?? 0,
    onModelCall: (request) => guarded(() => checks.onModelCall(request, currentActor())),
  });
  const gather = setting.batches ? gatherWrites(world, calls, apply) : null;

  // ---- processes ----

  const networkRandom = random.fork();
  const away = () => new OuterloopError("store_unavailable", "Postgres cannot be reached", { retry: "backoff" });
  const store = Object.fromEntries(
    storeCalls.map((name) => [
      name,
      (...args: unknown[]) => {
        const by = currentActor()?.process.name ?? "nobody";
        if (
          name === "commitWrites" &&
          gather !== null &&
          (args[0] as readonly SealedWrite[]).every(({ write }) => mayShareBatch(write))
        )
          return gather(by, args as Parameters<ModelCalls["commitWrites"]>, networkRandom, weather, away);
        const call = calls[name] as (...given: unknown[]) => unknown;
        return callOver(
          world,
          networkRandom,
          weather,
          () => (isLook(name) ? look(name, () => call(...args)) : apply(by, name, args, () => call(...args))),
          away,
        );
      },
    ]),
  ) as unknown as Store;
  const look = <Reply>(name: string, run: () => Reply): Reply => {
    mix(name);
    return run();
  };

  const crew: { process: SimulatedProcess; close: () => Promise<void> }[] = [];
  let born = 0;
  const stagesOf = drawStages(random, setting.processes);

  function startProcess(place: number): void {
    const process: SimulatedProcess = { name: `p${place}.${born++}`, alive: true, stoppedUntil: 0 };
    const closers: (() => Promise<unknown>)[] = [];
    const close = async () => {
      for (const end of closers.splice(0).toReversed()) await end().catch(() => undefined);
    };
    crew[place] = { process, close };
    note(() => `${process.name} starts`);
    runAs({ process }, () => {
      void startStageRuntime({
        config,
        service: "simulated",
        log: createLog((level, line) => {
          note(() => `${process.name} ${level} ${JSON.stringify(line)}`);
          if (level === "error" && isFault(line))
            found(new Violation("§6", `${process.name}: ${JSON.stringify(line)}`));
        }),
        store,
        queue: queue.backend() as never,
        bus: { publish: () => undefined },
        models,
        metrics: sharedMetrics,
        createId,
        lease: createId("lease"),
        leaseMs: config.leaseMs,
        isChild: false,
        createIsolation: () => noIsolation,
        keepHouse: async () => undefined,
        onClose: (end) => void closers.push(end),
        onWork: () => undefined,
      }).then(
        (runtime) => {
          for (const stage of stagesOf[place]!)
            runtime.startWorker(
              stage,
              namingClaims(process, (listening) => createHandler(stage, listening, registry), runtime),
              slotsOf(config, stage),
            );
        },
        () => die(place),
      );
    });
  }

  function die(place: number): void {
    const { process } = crew[place]!;
    if (!process.alive) return;
    process.alive = false;
    note(() => `${process.name} dies`);
    world.after(random.int(100, 4000), null, () => startProcess(place));
  }

  // ---- the story ----

  for (let place = 0; place < setting.processes; place += 1)
    world.after(random.int(0, 500), null, () => startProcess(place));
  for (let index = 0; index < setting.goals; index += 1)
    world.after(index === 0 ? 0 : random.int(0, 10_000), null, () => submit());

  const doDeed = (deed: Deed) => {
    try {
      apply(null, `deed ${deed.do}`, [deed], () => perform(tables, deed), deed);
    } catch (thrown) {
      found(thrown);
    }
  };
  function submit(): void {
    const goal = createId("goal");
    const tenant = `tenant${random.int(1, setting.tenants)}`;
    const cadence = random.pick(["adaptive", "adaptive", "every-step", "every-n"] as const);
    const scarce = random.chance(0.25);
    doDeed({
      do: "submit",
      input: {
        id: goal,
        tenant,
        text: `goal ${goal}`,
        session: random.chance(0.2) ? "session" : null,
        planning: { cadence, every: random.int(1, 3) },
        budget: {
          steps: scarce ? random.int(3, 40) : 400,
          wallMs: random.chance(0.1) ? random.int(5, 60) * 1000 : 12 * 3_600_000,
          tokens: scarce && random.chance(0.5) ? random.int(12, 60) * 1000 : 2_000_000,
          microUsd: random.chance(0.2) ? random.int(30_000, 6_000_000) : null,
        },
      },
    });
    // Its job is sent by whoever submits; that it is lost now and then is the reconciler's to mend.
    const job = { queue: "plan" as const, opts: { jobId: `${goal}-p-1`, lifo: false }, data: { goal, tasks: [] } };
    const backend = queue.backend() as { queues: Record<QueueName, { addBulk(jobs: unknown): Promise<void> }> };
    void backend.queues.plan.addBulk([job]).catch(() => undefined);
  }

  const every = (meanMs: number, until: () => boolean, act: () => void) => {
    if (meanMs === Infinity) return;
    const next = () =>
      world.after(random.int(1, 2 * meanMs), null, () => {
        if (until()) return;
        act();
        next();
      });
    next();
  };
  let calm = false;
  every(
    setting.deathEveryMs,
    () => calm,
    () => {
      const place = random.int(0, setting.processes - 1);
      const member = crew[place];
      if (member === undefined || !member.process.alive) return;
      if (random.chance(0.8)) return die(place);
      // An orderly end: it drains, gives back what it holds, and another takes its place.
      note(() => `${member.process.name} drains`);
      runAs({ process: member.process }, () => void member.close().then(() => die(place)));
    },
  );
  every(
    setting.stopEveryMs,
    () => calm,
    () => {
      const { process } = random.pick(crew.filter((member) => member?.process.alive)) ?? {};
      if (process === undefined) return;
      process.stoppedUntil = world.now + random.int(50, random.chance(0.5) ? 3 * config.leaseMs : 2000);
      note(() => `${process.name} is stopped for ${process.stoppedUntil - world.now} ms`);
    },
  );
  every(
    setting.flushEveryMs,
    () => calm,
    () => {
      note(() => "the queue is emptied");
      queue.flush();
    },
  );
  every(
    setting.deedEveryMs,
    () => calm,
    () => {
      const deed = chooseDeed(tables, random);
      if (deed !== undefined) doDeed(deed);
    },
  );
  if (random.chance(0.15))
    every(
      20_000,
      () => calm,
      () => {
        const struck = random.pick([weather, queueWeather]);
        struck.awayUntil = world.now + random.int(500, 15_000);
        note(() => `${struck === weather ? "Postgres" : "Redis"} is away for ${struck.awayUntil - world.now} ms`);
      },
    );
  world.after(setting.chaosMs, null, () => {
    note(() => "the weather clears");
    calm = true;
    Object.assign(weather, fairWeather());
    Object.assign(queueWeather, fairWeather());
    for (const faults of [queueFaults, providerFaults, outsideFaults] as Record<string, number>[])
      for (const name of Object.keys(faults)) faults[name] = 0;
    tidy();
  });
  /** Nothing stays open for want of people. */
  const tidy = () => {
    const books = [...tables.books.values()];
    const failed = books.filter(({ goal }) => goal.status === "failed" && goal.reason?.endsWith("_budget") === true);
    const deeds: Deed[] = [
      ...books.filter(({ goal }) => goal.status === "paused").map(({ goal }) => resumed(goal.id)),
      ...books
        .flatMap((book) => book.waits)
        .filter((wait) => wait.status === "open" && (wait.kind === "approval" || wait.kind === "outcome"))
        .map((wait) => decide(random, wait)),
      ...failed
        .filter(() => random.chance(0.1))
        .map(({ goal }) => resumed(goal.id, moreFor(random, goal.budget_steps))),
    ];
    for (const [index, deed] of deeds.entries()) world.after(index, null, () => doDeed(deed));
    world.after(tidyEveryMs, null, tidy);
  };

  const hasEnded = () => {
    const books = [...tables.books.values()];
    return calm && books.length === setting.goals && books.every(({ goal }) => goal.ended_at !== null);
  };
  await world.run(
    () =>
      violation !== null || hasEnded() || world.elapsedMs > setting.chaosMs + patienceMs || world.events > maxEvents,
    follow === undefined ? undefined : catchUp,
  );
  guarded(() => checks.atEnd());
  for (const { process } of crew) process.alive = false;
  const ends: Record<string, number> = {};
  for (const { goal } of tables.books.values()) {
    const end = goal.reason === null ? goal.status : `${goal.status}: ${goal.reason}`;
    ends[end] = (ends[end] ?? 0) + 1;
  }
  return {
    seed: options.seed,
    violation,
    hash: (hash >>> 0).toString(16).padStart(8, "0"),
    trace,
    operations,
    events: world.events,
    virtualMs: world.elapsedMs,
    ends,
  };
}

const resumed = (goal: string, more: Extract<Deed, { do: "resume" }>["more"] = {}): Deed => ({
  do: "resume",
  goal,
  more,
});

const looks: ReadonlySet<string> = new Set([
  "currentFences",
  "listOwnClaims",
  "leaseLeftMs",
  "loadGoal",
  "listTasks",
  "listDependencies",
  "listArtifacts",
  "readArtifact",
  "loadTexts",
  "sessionHistory",
  "lastStep",
  "notesOf",
  "nearestMemories",
  "newestMemories",
  "tenantsWithDueWork",
  "findUnclaimedJobs",
  "oldestSentMs",
]);
/** Calls that change no goal, and whose answers another call shows to be right or wrong. */
const isLook = (name: string) => looks.has(name);

const sharedMetrics = createMetrics();

const noIsolation: Isolation = {
  run: (_claim, work, lost) => work(lost),
  beforeClaim: async () => () => undefined,
};

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

function createHandler(
  stage: QueueName,
  runtime: StageRuntime,
  registry: ReturnType<typeof createRegistry>,
): StageHandler {
  switch (stage) {
    case "plan":
      return createPlanner(runtime, registry);
    case "execute":
      return createExecutor(runtime, registry);
    case "reflect":
      return createReflector(runtime, registry);
  }
}

/** The stage's own handler, whose runs are known by the claim that they work on. */
function namingClaims(
  process: SimulatedProcess,
  create: (runtime: StageRuntime) => StageHandler,
  runtime: StageRuntime,
): StageHandler {
  const handler = create(runtime);
  return {
    async claim(payload, limit) {
      let names: readonly Actor["claim"][] = [];
      const listening: Claimer = {
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
      const runs = await create({ ...runtime, claimer: listening }).claim(payload, limit);
      return runs.map((run, index): Run => {
        const claim = names[index];
        return (draining) => runAs({ process, ...(claim !== undefined && { claim }) }, () => run(draining));
      });
    },
    takeUp: (id, fence) => handler.takeUp(id, fence),
  };
}

const slotsOf = (config: Config, stage: QueueName) =>
  ({ plan: config.slots.planner, execute: config.slots.executor, reflect: config.slots.reflector })[stage];

function chooseBusy(tables: Tables, random: Random): ReadonlySet<string> {
  return new Set([...tables.books.keys()].filter(() => random.chance(0.5)));
}

function drawSetting(random: Random, singleSession: boolean): Setting {
  const often = (from: number, to: number, chance: number) => (random.chance(chance) ? random.int(from, to) : Infinity);
  return {
    processes: random.int(1, 3),
    goals: random.int(1, 3),
    tenants: random.int(1, 2),
    chaosMs: random.int(10_000, 60_000),
    deathEveryMs: often(2000, 15_000, 0.6),
    stopEveryMs: often(3000, 20_000, 0.5),
    deedEveryMs: random.int(500, 5000),
    flushEveryMs: often(5000, 30_000, 0.3),
    busy: singleSession ? 0 : random.pick([0, 0, 0.1, 0.3]),
    batches: random.chance(0.5),
  };
}

function drawConfig(random: Random): Config {
  const auto = ["mail", "post", "order"].filter(() => random.chance(0.3)).join(",");
  return readConfig(
    {
      OUTERLOOP_AUTO_APPROVE: auto,
      OUTERLOOP_APPROVAL_DEADLINE_MS: String(random.int(5, 60) * 1000),
      OUTERLOOP_ON_APPROVAL_DEADLINE: random.pick(["reject", "fail"]),
      OUTERLOOP_PLANNER_SLOTS: String(random.int(1, 2)),
      OUTERLOOP_EXECUTOR_SLOTS: String(random.int(1, 5)),
      OUTERLOOP_REFLECTOR_SLOTS: String(random.int(1, 3)),
      OUTERLOOP_TENANT_IN_FLIGHT: String(random.pick([1, 2, 4, 500])),
      OUTERLOOP_MAX_TOOL_CALLS: String(random.int(2, 6)),
      OUTERLOOP_RECONCILE_MS: "2000",
      OUTERLOOP_LEASE_MS: String(random.pick([4000, 10_000])),
      OUTERLOOP_BACKOFF_CAP_MS: "20000",
    },
    "/",
  );
}

/** Each process serves some stages; each stage is served by somebody. */
function drawStages(random: Random, processes: number): readonly (readonly QueueName[])[] {
  const all = ["plan", "execute", "reflect"] as const;
  if (processes === 3 && random.chance(0.4)) return all.map((stage) => [stage]);
  return Array.from({ length: processes }, (_, place) =>
    place === 0 ? all : all.filter((_stage, index) => index === place % 3 || random.chance(0.6)),
  );
}

function drawFaults(
  random: Random,
  weather: Weather,
  queueWeather: Weather,
  queueFaults: Record<string, number>,
  providerFaults: Record<string, number>,
  outsideFaults: Record<string, number>,
): void {
  const some = (rates: readonly number[]) => random.pick(rates);
  Object.assign(providerFaults, { away: some([0, 0.05, 0.2]), fatal: some([0, 0.01]), malformed: some([0, 0.05]) });
  Object.assign(outsideFaults, { refusals: some([0, 0.1]), silences: some([0, 0.1, 0.3]), hangs: some([0, 0.02]) });
  Object.assign(queueFaults, { reorders: some([0, 0.3]), delays: some([0, 0.1]) });
  weather.slow = some([0, 0.05]);
  weather.slowMs = some([100, 3000]);
  Object.assign(queueFaults, { drops: some([0, 0, 0.1]), duplicates: some([0, 0.1]) });
  weather.lostRequests = some([0, 0.01, 0.05]);
  weather.lostReplies = some([0, 0.01, 0.05]);
  queueWeather.lostRequests = some([0, 0.02]);
  queueWeather.lostReplies = some([0, 0.02]);
}

type Apply = <Reply>(by: string | null, name: string, args: readonly unknown[], run: () => Reply) => Reply;

/** A split commits alone (W1). */
const mayShareBatch = (write: Write) => write.task === undefined || write.tasks === undefined;

/** Lets writes of different processes share a batch, as those of one process do: each gets its own part of the reply. */
function gatherWrites(world: World, calls: ModelCalls, apply: Apply) {
  interface Asked {
    readonly by: string;
    readonly writes: readonly SealedWrite[];
    readonly settle: (answer: () => CommitReply) => void;
  }
  let gathered: Asked[] = [];
  return (
    by: string,
    [writes, waits, cap]: Parameters<ModelCalls["commitWrites"]>,
    random: Random,
    weather: Weather,
    away: () => Error,
  ): Promise<CommitReply> => {
    let answer: (() => CommitReply) | null = null;
    const asked = new Promise<void>((resolve) => {
      world.after(random.int(0, 3), null, () => {
        gathered.push({ by, writes, settle: (given) => ((answer = given), resolve()) });
        if (gathered.length > 1) return;
        world.after(random.int(0, 20), null, () => {
          const batch = gathered;
          gathered = [];
          const all = batch.flatMap((each) => each.writes);
          let reply: CommitReply;
          try {
            const names = batch.map((each) => each.by).join("+");
            reply = apply(names, "commitWrites", [all, waits, cap], () => calls.commitWrites(all, waits, cap));
          } catch (thrown) {
            for (const each of batch)
              each.settle(() => {
                throw thrown;
              });
            return;
          }
          for (const [index, each] of batch.entries())
            each.settle(() => ({
              ...reply,
              writes: reply.writes.filter((write) => each.writes.some((own) => own.write.id === write.id)),
              jobs: index === 0 ? reply.jobs : [],
            }));
        });
      });
    });
    const actor = currentActor();
    return new Promise((resolve, reject) => {
      void asked.then(() => {
        if (random.chance(weather.lostReplies))
          return void world.after(random.int(1, 5000), actor, () => reject(away()));
        world.after(random.int(0, 3), actor, () => {
          try {
            resolve(answer!());
          } catch (thrown) {
            reject(thrown as Error);
          }
        });
      });
    });
  };
}

function describe(name: string, args: readonly unknown[], reply: unknown): string {
  if (reply instanceof Error) return `${JSON.stringify(args)} -> ${reply.message}`;
  if (name !== "commitWrites") return `${short(args)} -> ${short(reply)}`;
  const { writes, jobs } = reply as CommitReply;
  const asked = (args[0] as readonly SealedWrite[]).map(({ write }) => {
    const { id, goal, fence, prompts: _p, blobs: _b, events: _e, ...rest } = write;
    return `${id} ${write.task ?? goal} fence ${fence} ${short(rest, 600)} -> ${short(writes.find((each) => each.id === id))}`;
  });
  return `${asked.join("\n      ")}${jobs.length === 0 ? "" : `\n      jobs ${jobs.map((job) => job.job).join(" ")}`}`;
}

const short = (value: unknown, length = 300) => (JSON.stringify(value) ?? "nothing").slice(0, length);
