/**
 * node test/bench/query-plans.ts [FILE]: the plans of the statements that a busy deployment runs, as PostgreSQL executed them
 * (auto_explain), beside 20,000 finished goals. Of each statement the run that read most, without its times. Written to
 * docs/query-plans.md.
 */
import { writeFileSync } from "node:fs";
import {
  answerQuestion,
  claimGoal,
  createClaimer,
  createDoor,
  createId,
  createStore,
  createSubmitter,
  defaultBatchLimits,
  defaultBudget,
  eventsAfter,
  getGoal,
  newestEvents,
  openDatabase,
  type ClaimedTask,
  type GoalId,
  type StepRow,
  type TaskId,
  type TenantId,
} from "@outerloop/core";
import { sql } from "kysely";
import type pg from "pg";
import { startOwnPostgres } from "../crash/support/own-servers.ts";
import { createDriver, newLease, operator, questionRow, taskRows } from "../support/goal-driver.ts";
import { fillHistory } from "./scenarios/history.ts";
import { withClient } from "./servers.ts";

const finishedGoals = 20_000;
const memories = 5000;
const liveGoals = 256;

interface Plan {
  /** The function and line, or what a process sent. */
  readonly from: string;
  readonly text: string;
  readonly plan: string;
  readonly pages: number;
}

const explain = {
  session_preload_libraries: "auto_explain",
  "auto_explain.log_min_duration": "0",
  "auto_explain.log_analyze": "on",
  "auto_explain.log_buffers": "on",
  "auto_explain.log_nested_statements": "on",
  "auto_explain.log_timing": "off",
  "auto_explain.log_level": "notice",
};

const server = await startOwnPostgres();
try {
  const plans = await record(server.url);
  const file = process.argv[2] ?? new URL("../../docs/query-plans.md", import.meta.url);
  writeFileSync(file, page(plans));
  process.stdout.write(`${plans.length} statements: ${String(file)}\n`);
} finally {
  await server.close();
}

async function record(url: string): Promise<readonly Plan[]> {
  const first = await openDatabase({
    kind: "server",
    url,
    maxConnections: 2,
    statementMs: null,
    applicationName: "plans",
  });
  await createDriver(first.db);
  await first.close();
  await withClient(url, async (client) => {
    await fillHistory(client, finishedGoals);
    await client.query(
      `INSERT INTO memory_entries (id, tenant_id, kind, text, embedding, embedding_model)
       SELECT 'mem_old' || n, 'default', 'lesson', 'x', (SELECT array_agg(random() - 0.5) FROM generate_series(1, 384) WHERE n > 0)::vector, 'local'
       FROM generate_series(1, $1::int) n`,
      [memories],
    );
    await fillFacts(client);
    await client.query("VACUUM ANALYZE");
    for (const [name, value] of Object.entries(explain))
      await client.query(`ALTER DATABASE postgres SET ${name} = '${value}'`);
  });

  const worst = new Map<string, Plan>();
  const database = await openDatabase({ kind: "server", url, maxConnections: 4, applicationName: "plans" });
  database.pool.on("connect", (client: pg.PoolClient) => {
    client.on("notice", (notice) => {
      const plan = readPlan(notice.message ?? "", notice.where ?? "");
      if (plan === undefined) return;
      const key = `${plan.from} ${plan.text}`;
      if ((worst.get(key)?.pages ?? -1) < plan.pages) worst.set(key, plan);
    });
  });
  try {
    await work(database.db);
  } finally {
    await database.close();
  }
  return [...worst.values()].toSorted((a, b) =>
    a.from < b.from ? -1 : a.from > b.from ? 1 : a.text < b.text ? -1 : 1,
  );
}

/** Of each finished goal two files, a call of a tool and one that reached out, a note, and a question that was answered. */
async function fillFacts(client: pg.Client): Promise<void> {
  await client.query("SET session_replication_role = replica");
  const ofGoal = "t.retention, t.goal_day, t.tenant_id, t.goal_id";
  for (const statement of [
    `INSERT INTO artifacts (retention, goal_day, tenant_id, goal_id, version, path, mode, origin, bytes, hash, task_id)
     SELECT ${ofGoal}, t.number, 'file' || t.number || '.md', 'write', CASE t.number WHEN 1 THEN 'observed' ELSE 'written' END, 'x', 'h', t.id FROM tasks t WHERE t.number < 3`,
    `INSERT INTO steps (retention, goal_day, tenant_id, goal_id, subject_id, attempt, seq, phase, stage, kind, name, number, input, output, ok, fence, write_id)
     SELECT ${ofGoal}, t.id, 1, 2, 'result', 'execute', 'tool', 'write_file', 10 + t.number, '{}', '{}', true, 1, 'w_t' || t.id FROM tasks t`,
    `INSERT INTO effects (tenant_id, goal_id, key, send_key, root_id, task_id, attempt, seq, tool, version, args, status, fence, result, ended_at)
     SELECT t.tenant_id, t.goal_id, t.id, t.id, t.root_id, t.id, 1, 2, 'send', '1', '{}', 'done', 1, '{}', t.ended_at FROM tasks t WHERE t.number = 1`,
    `INSERT INTO questions (id, tenant_id, goal_id, about, text, default_answer, status, deadline_at, answer, asked_at, answered_at)
     SELECT 'q_' || id, tenant_id, id, 'intake', 'which?', 'any', 'answered', created_at + interval '1 day', 'any', created_at, ended_at FROM goals`,
  ])
    await client.query(statement);
  await client.query("RESET session_replication_role");
}

/** What a plan is of, and how much it read; undefined where it reads no table. */
function readPlan(message: string, where: string): Plan | undefined {
  const found = /^duration: .*?plan:\nQuery Text: ([\s\S]*?)\n(?=\S.*\((?:cost|actual)|\S.*cost=)([\s\S]*)$/.exec(
    message,
  );
  if (found === null) return undefined;
  const [, text, body] = found;
  if (!/ (?:on|using \w+ on) (?!pg_)\w+/.test(body!) || !/Scan|Insert|Update|Delete/.test(body!)) return undefined;
  // What PostgreSQL itself asks for foreign keys, by primary keys.
  if (text!.includes(" FROM ONLY ")) return undefined;
  const at = /PL\/pgSQL function (\w+)\(.*?\) line (\d+)/.exec(where);
  const pages = /Buffers: shared hit=(\d+)(?: read=(\d+))?/.exec(body!);
  return {
    from: at === null ? "sent by a process" : `${at[1]}, line ${at[2]!.padStart(3)}`,
    text: text!
      .replace(/\nQuery Parameters: [\s\S]*$/, "")
      .replaceAll(/--.*$/gm, "")
      .replaceAll(/\s+/g, " ")
      .trim(),
    plan: body!
      .replaceAll(/\(cost=[^)]*\) /g, "")
      .replaceAll(/ *\(cost=[^)]*\)/g, "")
      .replaceAll(/^\s*(?:Memory Usage|Storage|Sort Method|Cache Mode|Settings):.*\n?/gm, "")
      // Ids and vectors are others every time.
      .replaceAll(/'[{[][^']{60,}[}\]]'/g, "'{…}'")
      .replaceAll(/'(g|t|l|w)_[0-9a-z]{16,}'/g, "'$1_…'")
      // Partitions are named by their day.
      .replaceAll(/_\d{8}(?=\W|_)/g, "_DAY")
      .trimEnd(),
    pages: Number(pages?.[1] ?? 0) + Number(pages?.[2] ?? 0),
  };
}

/** Some hundred goals, in batches of 64, from their post to half of them at their end, and what upkeep asks meanwhile. */
async function work(db: Parameters<typeof createStore>[0]): Promise<void> {
  const store = createStore(db);
  const lease = await newLease(db);
  const claimer = createClaimer(store, lease, { maxClaims: 64, gatherMs: () => 0 });
  const door = createDoor(
    store,
    { jobs: async () => undefined, events: () => undefined },
    {
      tenantCap: 500,
      ...defaultBatchLimits,
      clock: Date.now,
      pause: () => Promise.reject(new Error("Postgres is away")),
    },
  );
  const submitter = createSubmitter(db, createId);
  const submitted = await Promise.all(
    Array.from({ length: liveGoals }, (_, index) =>
      submitter.submit(operator, {
        text: "a goal",
        session: null,
        budget: defaultBudget,
        planning: { cadence: "adaptive" },
        priority: 0,
        labels: {},
        attachments: [],
        questionsWaitMs: null,
        idempotency: { key: `key ${index}`, requestHash: "h" },
      }),
    ),
  );
  const goals = submitted.map((each) => {
    if (each.kind !== "created") throw new Error(each.kind);
    return each.goal.id as GoalId;
  });
  const step = (seq: number): StepRow => ({
    attempt: 1,
    seq,
    phase: "result",
    stage: "execute",
    kind: "model",
    name: "x",
    input: {},
    output: { text: "y".repeat(600) },
    ok: true,
    duration_ms: 1,
  });
  const settle = { steps: 1, tokens: 1000, cost_micro_usd: 0, cost_unknown: false };
  const upkeep = async () => {
    await store.tenantsWithDueWork();
    await store.findUnclaimedJobs(0, 100);
    await store.releaseDeadClaims(100);
    await store.wakePlanners(100);
    await store.warnOfWall(100);
    await store.fireDueWaits(100);
    for (const queue of ["plan", "execute", "reflect"] as const) await store.oldestSentMs(queue);
    await store.dispatchDue(operator.tenantId, 500, 500);
  };

  const planned = await Promise.all(
    goals.map(async (goal) => {
      const claim = await claimer.claimGoal(goal);
      if (claim === undefined) throw new Error(`goal ${goal} was not claimed`);
      const { rows, ids } = taskRows({ a: [], b: [], c: ["a"], d: [], e: [] });
      await door.commit({
        id: createId("write"),
        goal,
        fence: claim.fence,
        plan: { tasks: rows, read: claim.row.plan_wanted },
        steps: [step(1)],
        settle,
      });
      return { goal, ids: Object.values(ids) };
    }),
  );
  await upkeep();
  const vector = (seed: number) => Array.from({ length: 384 }, (_, index) => Math.sin(seed * 7 + index));
  const perform = async (claim: ClaimedTask, goal: GoalId, task: TaskId) => {
    const base = { goal, task, fence: claim.fence } as const;
    await door.commit({
      ...base,
      id: createId("write"),
      steps: [step(1)],
      settle,
      reserve: 1,
      events: [{ type: "step.model", data: {} }],
    });
    await door.commit({ ...base, id: createId("write"), move: { to: "reflecting", result: "r" } as const });
    const [again] = (await claimer.claimTasks({ queue: "reflect", goal, tasks: [task], limit: 1 })).claimed;
    if (again === undefined) return;
    const memory = {
      id: `mem_${createId("write")}`,
      kind: "lesson",
      text: "x",
      embedding: `[${vector(1).join(",")}]`,
      embedding_model: "local",
    } as const;
    await door.commit({
      ...base,
      fence: again.fence,
      id: createId("write"),
      move: { to: "done" } as const,
      memory: [memory],
    });
  };
  const half = planned.slice(0, liveGoals / 2);
  for (let round = 0; round < 2; round += 1) {
    await Promise.all(
      half.map(async ({ goal, ids }) => {
        const { claimed } = await claimer.claimTasks({ queue: "execute", goal, tasks: ids, limit: 8 });
        await Promise.all(claimed.map((claim) => perform(claim, goal, claim.task.id)));
      }),
    );
    await upkeep();
  }
  await Promise.all(
    half.map(async ({ goal }) => {
      const claim = await claimer.claimGoal(goal);
      if (claim === undefined) throw new Error(`goal ${goal} was not claimed at its end`);
      await door.commit({ id: createId("write"), goal, fence: claim.fence, end: { to: "succeeded", answer: "x" } });
    }),
  );
  await upkeep();
  await askAndLookUp(db, goals.slice(liveGoals / 2));
  await eventsAfter(db, goals[0]!, 3, 100);
  await newestEvents(db, goals.slice(0, 64));
  await store.nearestMemories(
    "local",
    Array.from({ length: 16 }, (_, index) => ({
      tenantId: operator.tenantId as TenantId,
      vector: vector(index),
      limit: 5,
    })),
  );
  await store.newestMemories(operator.tenantId as TenantId, 10);
  const { rows } = await sql<{
    n: number;
  }>`SELECT count(*)::integer AS n FROM goals WHERE status = 'succeeded' AND id = ANY (${goals})`.execute(db);
  if (rows[0]?.n !== half.length) throw new Error(`${rows[0]?.n} of ${half.length} goals succeeded`);
}

/** Some goals ask, half are answered by people and half by their deadline; what evidence is checked against is looked up of each. */
async function askAndLookUp(db: Parameters<typeof createStore>[0], goals: readonly GoalId[]): Promise<void> {
  const store = createStore(db);
  const driver = await createDriver(db);
  await sql`UPDATE goals SET plan_wanted = 1 WHERE id = ANY (${goals})`.execute(db);
  await Promise.all(
    goals.map(async (goal, index) => {
      const claim = await claimGoal(db, goal, driver.lease);
      if (claim === undefined) throw new Error(`goal ${goal} was not claimed to ask`);
      const [first] = claim.tasks;
      await store.listWriters(goal);
      await store.listReachedOut(goal, null);
      await store.listReachedOut(goal, first!.task.rootId);
      await store.listSucceeded(claim.row, null);
      await store.listSucceeded(claim.row, first!.task.rootId);
      await store.listNotes(goal, 100);
      const ask = questionRow({ for_ms: index % 2 === 0 ? 0 : 60_000 });
      await driver.door.commit({ id: createId("write"), goal, fence: claim.fence, ask });
    }),
  );
  await store.fireDueWaits(100);
  for (const goal of goals) {
    await getGoal(db, operator, goal);
    await answerQuestion(db, operator, goal, { question: null, text: "any", by: "x" });
  }
}

/** Reads of whole tables, and rows that were read for nothing. */
function findings({ plan }: Plan): readonly string[] {
  const lines = plan.split("\n");
  return lines.flatMap((line, index) => {
    const scan = /Seq Scan on (\w+)/.exec(line);
    if (scan !== null) return [`reads all of ${scan[1]}`];
    const removed = /Rows Removed by (?:Filter|Join Filter|Index Recheck): (\d+)/.exec(line);
    if (removed === null || Number(removed[1]) < 100) return [];
    const node = lines.slice(0, index).findLast((each) => each.includes("actual"));
    return [
      `${removed[1]} rows read for nothing: ${node
        ?.trim()
        .replace(/^->\s*/, "")
        .replace(/ \(actual.*/, "")}`,
    ];
  });
}

function page(plans: readonly Plan[]): string {
  const found = plans.flatMap((plan) => findings(plan).map((each) => `- ${plan.from}: ${each}`));
  const sections = plans.map(({ from, text, plan }) => {
    const indexes = [
      ...new Set([...plan.matchAll(/using (\w+) on|Bitmap Index Scan on (\w+)/g)].map((each) => each[1] ?? each[2])),
    ];
    return [
      `### ${from.replaceAll(/ +/g, " ")}`,
      "",
      `\`${text.length > 160 ? `${text.slice(0, 157)}…` : text}\``,
      indexes.length === 0 ? "" : `\nServed by ${indexes.map((each) => `\`${each}\``).join(", ")}.\n`,
      "```",
      plan,
      "```",
      "",
    ].join("\n");
  });
  return `# How the hot statements are executed

Made by \`node test/bench/query-plans.ts\`: ${liveGoals} goals of 5 tasks in batches of 64, beside ${finishedGoals.toLocaleString("en")} finished goals with
${(finishedGoals * 5).toLocaleString("en")} tasks, and ${memories.toLocaleString("en")} memory entries. Of each statement the execution that read most pages, with the rows that there
were (\`rows\` of each of \`loops\`) and the pages that it read, without its times. Statements that read no table are left out.

## What reads more than it needs

${found.length === 0 ? "Nothing: no table is read whole, and no scan reads a hundred rows for nothing." : [...new Set(found)].join("\n")}

## The plans

${sections.join("\n")}`;
}
