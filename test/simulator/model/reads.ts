/** What stages read of the model. Everything is handed out as a copy, in the domain's types. */
import {
  resolutionSchema,
  type ArtifactInfo,
  type Effect,
  type Goal,
  type GoalId,
  type GoalRow,
  type JsonObject,
  type RecalledMemory,
  type SessionGoal,
  type Step,
  type Task,
  type TaskId,
  type TaskInGoal,
  type Twin,
  type Wait,
  type WaitRow,
  type WaitsOfAttempt,
  canonicalJson,
  toGoal,
  toStep,
  toTask,
  toWait,
  type StepRecord,
} from "@outerloop/core";
import { createHash } from "node:crypto";
import {
  toGoalRow,
  toTaskRecord,
  toWaitRecord,
  type ModelArtifact,
  type ModelGoal,
  type ModelStep,
  type ModelTask,
  type ModelWait,
} from "./rows.ts";
import { findTask, type Tables } from "./tables.ts";

export const toGoalOf = (goal: ModelGoal): Goal => toGoal(toGoalRow(goal));
export const toTaskOf = (task: ModelTask): Task => toTask(toTaskRecord(task));
export const toStepOf = (step: ModelStep): Step => toStep(structuredClone(step) as unknown as StepRecord);
const toWaitOf = (wait: ModelWait): Wait => toWait(toWaitRecord(wait));

const bookOf = (tables: Tables, goalId: string) => {
  const book = tables.books.get(goalId);
  if (book === undefined) throw new Error(`no goal ${goalId}`);
  return book;
};

export const loadGoal = (tables: Tables, goalId: GoalId): GoalRow => toGoalRow(bookOf(tables, goalId).goal);

export function listTasks(tables: Tables, goalId: GoalId): TaskInGoal[] {
  const book = bookOf(tables, goalId);
  const keys = new Map(book.tasks.map((task) => [task.id, task.key]));
  return book.tasks.map((task) => ({
    task: toTaskOf(task),
    row: toTaskRecord(task),
    dependsOn: book.tasks.filter((other) => book.needs.get(task.id)?.has(other.id)).map((other) => other.key),
    parentKey: task.parent_id === null ? null : (keys.get(task.parent_id) ?? null),
  }));
}

export function listDependencies(tables: Tables, taskId: TaskId): Task[] {
  const found = findTask(tables, taskId);
  const needs = found?.book.needs.get(taskId);
  return needs === undefined ? [] : found!.book.tasks.filter((task) => needs.has(task.id)).map(toTaskOf);
}

export function listArtifacts(tables: Tables, goalId: GoalId): ArtifactInfo[] {
  const byPath = Map.groupBy(bookOf(tables, goalId).artifacts, (file) => file.path);
  return [...byPath]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, all]) => {
      const chunks = newestOf(all);
      const hashes = chunks.map((chunk) => chunk.hash);
      return {
        path,
        version: chunks.at(-1)!.version,
        size: chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0),
        hash: hashes.length === 1 ? hashes[0]! : createHash("md5").update(hashes.join(",")).digest("hex"),
        origin: chunks.at(-1)!.origin as ArtifactInfo["origin"],
        at: new Date(Math.max(...chunks.map((chunk) => chunk.at))).toISOString(),
      };
    });
}

/** A file's last write and every append after it. */
function newestOf(all: readonly ModelArtifact[]): readonly ModelArtifact[] {
  const from = Math.max(0, ...all.filter((each) => each.mode === "write").map((each) => each.version));
  return all.filter((each) => each.version >= from).toSorted((a, b) => a.version - b.version);
}

export function readArtifact(tables: Tables, goalId: GoalId, path: string): Uint8Array | undefined {
  const all = bookOf(tables, goalId).artifacts.filter((file) => file.path === path);
  return all.length === 0 ? undefined : new Uint8Array(Buffer.concat(newestOf(all).map((chunk) => chunk.bytes)));
}

export function loadTexts(
  tables: Tables,
  goal: Pick<GoalRow, "id">,
  hashes: readonly string[],
): ReadonlyMap<string, string> {
  const own = tables.books.get(goal.id)?.blobs;
  const texts = hashes.map((hash) => [hash, own?.get(hash) ?? tables.prompts.get(hash)] as const);
  return new Map(texts.filter((each): each is readonly [string, string] => each[1] !== undefined));
}

export function sessionHistory(tables: Tables, goal: GoalRow, limit: number): SessionGoal[] {
  if (goal.session_id === null) return [];
  const before = [...tables.books.values()]
    .map((book) => book.goal)
    .filter((each) => each.tenant_id === goal.tenant_id && each.session_id === goal.session_id)
    .filter((each) => each.created_at < goal.created_at.getTime() && each.answer !== null)
    .toSorted((a, b) => b.created_at - a.created_at)
    .slice(0, limit);
  return before.toReversed().map((each) => ({
    goalId: each.id,
    text: each.text,
    answer: each.answer ?? "",
    notes: tables.memories
      .filter((memory) => memory.goal_id === each.id && memory.kind === "note")
      .slice(-8)
      .map((memory) => memory.text),
  }));
}

export function lastStep(tables: Tables, goalId: GoalId, subject: string, attempt: number): Step | null {
  const steps = bookOf(tables, goalId).steps.filter(
    (step) => step.subject_id === subject && step.attempt === attempt && step.phase === "result",
  );
  const last = steps.toSorted((a, b) => a.seq - b.seq).at(-1);
  return last === undefined ? null : toStepOf(last);
}

export function listWriters(tables: Tables, goalId: GoalId): ReadonlyMap<string, readonly string[]> {
  const written = bookOf(tables, goalId).artifacts.filter((file) => file.origin === "written" && file.task_id !== null);
  const byPath = Map.groupBy(written, (file) => file.path);
  return new Map([...byPath].map(([path, all]) => [path, [...new Set(all.map((file) => file.task_id!))].toSorted()]));
}

export function listReachedOut(tables: Tables, goalId: GoalId, rootId: TaskId | null): string[] {
  const done = [...bookOf(tables, goalId).effects.values()].filter(
    (effect) => effect.status === "done" && (rootId === null || effect.root_id === rootId),
  );
  return [...new Set(done.map((effect) => effect.tool))];
}

export function listSucceeded(tables: Tables, goal: Pick<GoalRow, "id">, rootId: TaskId | null): string[] {
  const book = bookOf(tables, goal.id as GoalId);
  const ofRoot = new Set(book.tasks.filter((task) => task.root_id === rootId).map((task) => task.id as string));
  const ran = book.steps.filter(
    (step) =>
      step.kind === "tool" && step.phase === "result" && step.ok && (rootId === null || ofRoot.has(step.subject_id)),
  );
  return [...new Set(ran.map((step) => step.name))];
}

export function listNotes(tables: Tables, goalId: GoalId, limit: number): string[] {
  return tables.memories
    .filter((memory) => memory.goal_id === goalId && memory.kind === "note")
    .slice(0, limit)
    .map((memory) => memory.text);
}

export function notesOf(tables: Tables, goalId: GoalId, taskId: TaskId): string[] {
  return tables.memories
    .filter((memory) => memory.goal_id === goalId && memory.task_id === taskId && memory.kind === "note")
    .map((memory) => memory.text);
}

/** Meaning is not modelled: what is near is what is new. */
export function newestMemories(tables: Tables, tenant: string, limit: number): RecalledMemory[] {
  return tables.memories
    .filter((memory) => memory.tenant_id === tenant)
    .slice(-limit)
    .toReversed()
    .map(({ id, kind, text, created_at }) => ({
      id,
      kind,
      text,
      createdAt: new Date(created_at).toISOString(),
      similarity: 0,
    }));
}

export function loadWaits(tables: Tables, taskId: TaskId, attempt: number): WaitsOfAttempt {
  const found = findTask(tables, taskId);
  const waits = (found?.book.waits ?? [])
    .filter((wait) => wait.task_id === taskId && wait.attempt === attempt && wait.status !== "withdrawn")
    .toSorted((a, b) => a.seq - b.seq || a.created_at - b.created_at);
  return { wakes: found?.task.wakes ?? 0, bySeq: new Map(waits.map((wait) => [wait.seq, toWaitOf(wait)])) };
}

export function loadEffects(
  tables: Tables,
  goalId: GoalId,
  taskId: TaskId,
  keys: readonly string[],
): ReadonlyMap<string, Effect> {
  const book = bookOf(tables, goalId);
  const found = new Map<string, Effect>();
  for (const asked of keys) {
    const effect = book.effects.get(asked) ?? [...book.effects.values()].find((each) => each.send_key === asked);
    if (effect === undefined) continue;
    const owner = book.tasks.find((task) => task.id === effect.task_id);
    const isOpen = effect.status === "intended" || effect.status === "unknown";
    found.set(asked, {
      key: effect.key,
      sendKey: effect.send_key,
      status: effect.status,
      args: structuredClone(effect.args) as JsonObject,
      turn: effect.turn,
      elsewhere:
        isOpen &&
        effect.task_id !== taskId &&
        owner !== undefined &&
        (owner.status === "running" || owner.status === "waiting") &&
        owner.attempt === effect.attempt,
      result: effect.result?.text ?? null,
      intendedAt: new Date(effect.intended_at),
      ageMs: tables.now() - effect.intended_at,
    });
  }
  return found;
}

export function loadTwins(
  tables: Tables,
  goalId: GoalId,
  rootId: TaskId,
  calls: readonly { readonly key: string; readonly tool: string; readonly args: JsonObject }[],
): ReadonlyMap<string, Twin> {
  const book = bookOf(tables, goalId);
  const twins = new Map<string, Twin>();
  for (const call of calls) {
    const [first] = [...book.effects.values()]
      .filter((each) => each.root_id !== rootId && each.tool === call.tool && each.status !== "failed")
      .filter((each) => canonicalJson(each.args) === canonicalJson(call.args))
      .toSorted((a, b) => a.intended_at - b.intended_at);
    const task = book.tasks.find((each) => each.id === first?.task_id);
    if (first !== undefined && task !== undefined)
      twins.set(call.key, { task: task.key, status: first.status, at: new Date(first.intended_at) });
  }
  return twins;
}

export function findRefusal(
  tables: Tables,
  task: Pick<Task, "id" | "goalId" | "rootId" | "attempt">,
  wait: Pick<WaitRow, "kind" | "hash" | "subject">,
): { readonly reason: string | null } | null {
  const book = bookOf(tables, task.goalId);
  const wanted = wait.subject?.["turn"];
  const turn = typeof wanted === "number" ? wanted : undefined;
  const [refusal] = book.waits
    .filter((each) => each.kind === wait.kind && each.hash === (wait.hash ?? ""))
    .filter((each) => book.tasks.find((owner) => owner.id === each.task_id)?.root_id === task.rootId)
    .filter((each) => each.task_id !== task.id || each.attempt !== task.attempt)
    .filter((each) => (each.subject as JsonObject)["turn"] === turn)
    .filter((each) => {
      const resolution = each.resolution === null ? null : resolutionSchema.parse(each.resolution);
      return resolution?.by === "person" && resolution.decision === "reject";
    })
    .toSorted((a, b) => (b.resolved_at ?? 0) - (a.resolved_at ?? 0));
  if (refusal === undefined) return null;
  return { reason: (refusal.resolution as { reason?: string }).reason ?? null };
}
