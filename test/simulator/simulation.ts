/**
 * One seed: some goals, some processes that run the product's own stages, worker shell, door and upkeep over the models of
 * store, queue, providers and receivers, people, and bad weather. Then the weather clears, people decide what is open, and
 * everything must come to an end. The same seed gives the same run, to the last operation.
 */
import { createIds, OuterloopError, storeCalls, type QueueName, type SealedWrite, type Store } from "@outerloop/core";
import { createRegistry } from "@outerloop/skills";
import { createChecks, Violation, type Operation } from "./checks.ts";
import { createCrew } from "./crew.ts";
import { describe } from "./describe.ts";
import { gatherWrites, mayShareBatch } from "./gather.ts";
import { createModelCalls, type ModelCalls } from "./model/store.ts";
import { createTables, type Tables } from "./model/tables.ts";
import { callOver, fairWeather, type Weather } from "./network.ts";
import { createOutside } from "./outside.ts";
import { chooseDeed, decide, moreFor, perform, type Deed } from "./people.ts";
import { createScriptedModels } from "./provider.ts";
import { createModelQueue } from "./queue.ts";
import { createRandom, type Random } from "./random.ts";
import { drawConfig, drawFaults, drawSetting, drawStages } from "./setting.ts";
import { createRealm, currentActor, World, type Realm } from "./world.ts";

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

/** A goal that has not ended this long after everything became quiet is stuck. */
const patienceMs = 20 * 60_000;
/** Decisions come this often in the end. */
const tidyEveryMs = 2000;
/** From then on what was set in motion before has come to rest. */
const restAfterMs = 60_000;
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
  let calm = false;
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
    guards: config.guards,
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
    if (name === "commitWrites" && !calm) strike(by ?? "", args[0] as readonly SealedWrite[]);
    return reply;
  }
  const strikeRandom = random.fork();
  /** People do not wait for a good moment. */
  function meddle(goal: string): void {
    const kind = strikeRandom.pick(["pause", "pause", "pause", "retry", "cancel"] as const);
    world.after(strikeRandom.int(0, 12), null, () => doDeed({ do: kind, goal }));
    if (kind === "pause") world.after(strikeRandom.int(20, 3000), null, () => doDeed(resumed(goal)));
  }
  /** Between an intent, its call and its result most is to be lost. */
  function strike(by: string, writes: readonly SealedWrite[]): void {
    const reachesOut = writes.some(({ write }) => write.task !== undefined && write.effects !== undefined);
    if (strikeRandom.chance(setting.meddling)) meddle(strikeRandom.pick(writes).write.goal);
    if (!strikeRandom.chance(setting.strikes * (reachesOut ? 20 : 1))) return;
    const how = strikeRandom.chance(0.5) ? "dies" : "stops";
    crew.strike(by.split("+")[0]!, how, strikeRandom.int(config.leaseMs / 2, 2 * config.leaseMs));
  }

  const weather: Weather = fairWeather();
  const queueWeather: Weather = fairWeather();
  const queueFaults = { drops: 0, duplicates: 0, reorders: 0, delays: 0, unannounced: 0 };
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
      guarded(() => checks.onDelivery(delivery, currentActor()));
    },
  );
  const registry = createRegistry(outside.skills);
  const queue = createModelQueue(world, random.fork(), queueWeather, queueFaults);
  const models = createScriptedModels(world, random.fork(), providerFaults, {
    textOf: (goalId) => tables.books.get(goalId)?.goal.text ?? "",
    tasksOf: (goalId) => tables.books.get(goalId)?.tasks ?? [],
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
        // Who waits for a goal goes alone.
        const gathers = name === "commitWrites" && gather !== null && args[1] === false;
        if (gathers && (args[0] as readonly SealedWrite[]).every(mayShareBatch))
          return gather(by, args as Parameters<ModelCalls["commitWrites"]>, networkRandom, weather, away);
        const call = calls[name] as (...given: unknown[]) => unknown;
        return callOver(
          world,
          networkRandom,
          weather,
          () => (isLook(name) ? look(by, name, args, () => call(...args)) : apply(by, name, args, () => call(...args))),
          away,
        );
      },
    ]),
  ) as unknown as Store;
  const look = (by: string, name: string, args: readonly unknown[], run: () => unknown): unknown => {
    mix(name);
    const reply = run();
    if (follow !== undefined) unfollowed.push({ at: world.now, call: { name, args, reply, by }, touched: [] });
    return reply;
  };

  const crew = createCrew({
    world,
    random: random.fork(),
    config,
    stagesOf: drawStages(random, setting.processes),
    store,
    queue,
    models,
    registry,
    createId,
    isEmbedded: setting.processes === 1 && random.chance(0.5),
    note,
    onFault: (what) => found(new Violation("§6", what)),
    onStale: (id, fence) => checks.onStale(id, fence),
  });

  // ---- the story ----

  for (let place = 0; place < setting.processes; place += 1)
    world.after(random.int(0, 500), null, () => crew.start(place));
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
        questionsWaitMs: random.chance(0.5) ? random.int(1, 40) * 1000 : null,
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
  every(
    setting.deathEveryMs,
    () => calm,
    () => (random.chance(0.8) ? crew.kill() : crew.drain()),
  );
  every(
    setting.stopEveryMs,
    () => calm,
    () => crew.stop(random.int(50, random.chance(0.5) ? 3 * config.leaseMs : 2000)),
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
    if (world.elapsedMs > setting.chaosMs + restAfterMs) guarded(() => checks.atRest());
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
  crew.end();
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
  "currentClaims",
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

function chooseBusy(tables: Tables, random: Random): ReadonlySet<string> {
  return new Set([...tables.books.keys()].filter(() => random.chance(0.5)));
}
