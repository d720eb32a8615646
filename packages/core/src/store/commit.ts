/**
 * The one door (W1): every write of a claim holder goes through `commit`. A write is data; the database function
 * `commit_writes` guards and applies it and says which jobs and events follow.
 *
 * W2: a lost reply is not a lost claim. A write has an id, and finding one's own id already applied is a win, so on
 * connection trouble the same write is simply sent again.
 */
import { sql } from "kysely";
import { OuterloopError } from "../domain/errors.ts";
import type { Held } from "../domain/budget.ts";
import type { NewEvent } from "../domain/event.ts";
import { mayBeUnstorable, storable, type JsonObject } from "../domain/json.ts";
import type { GoalReason, GoalStatus } from "../domain/goal.ts";
import type { GoalId, QuestionId, TaskId, WaitId, WriteId } from "../domain/ids.ts";
import { failpoint } from "../failpoints.ts";
import type { Evidence } from "../domain/evidence.ts";
import type { GuardCounts } from "../domain/guard.ts";
import type { Intake } from "../domain/intake.ts";
import type { QuestionSubject } from "../domain/question.ts";
import type { OnDeadline, WaitKind } from "../domain/wait.ts";
import type { Redactor } from "../redaction.ts";
import type { Db } from "./database.ts";
import { createGatherer, type Answer } from "./gatherer.ts";
import { inlineChars, keepTexts } from "./kept-texts.ts";

export type QueueName = "plan" | "execute" | "reflect";

/** A BullMQ job that somebody must add: ids and nothing else. */
export interface DueJob {
  readonly queue: QueueName;
  readonly job: string;
  readonly goal: GoalId;
  readonly tasks: readonly TaskId[];
  /** Ahead of what waits. */
  readonly front: boolean;
}

export interface StepRow {
  readonly attempt: number;
  readonly seq: number;
  readonly phase: "intent" | "result";
  readonly stage: string;
  readonly kind: "model" | "tool";
  readonly name: string;
  readonly input: unknown;
  readonly output: unknown;
  readonly ok: boolean;
  readonly request_hash?: string;
  readonly input_tokens?: number;
  readonly cached_input_tokens?: number;
  readonly output_tokens?: number;
  readonly reasoning_tokens?: number;
  readonly cost_micro_usd?: number | null;
  readonly duration_ms: number;
}

export interface FileRow {
  readonly path: string;
  readonly mode: "write" | "append";
  readonly base64: string;
  readonly hash: string;
  /** A tool's long result, put away; else somebody wrote it. */
  readonly origin?: "observed";
}

export interface MemoryRow {
  readonly id: string;
  readonly kind: "task_result" | "observation" | "lesson" | "note" | "answer";
  readonly text: string;
  /** As pgvector reads it: `[0.1,…]`. */
  readonly embedding: string;
  readonly embedding_model: string;
}

export interface TaskRow {
  readonly id: TaskId;
  readonly key: string;
  readonly parent: TaskId | null;
  readonly root: TaskId;
  readonly text: string;
  readonly tools: readonly string[];
  readonly evidence: readonly Evidence[];
  readonly difficulty: string;
  readonly depth: number;
  readonly front: boolean;
  readonly depends_on: readonly TaskId[];
}

export type TaskMove =
  | { readonly to: "reflecting"; readonly result: string }
  | { readonly to: "failed" | "abandoned"; readonly reason: string }
  /** `replan`: the planner is asked, whatever its cadence; `reason` says what about. */
  | { readonly to: "done"; readonly replan?: true; readonly reason?: string }
  | { readonly to: "ready"; readonly hint: string }
  | { readonly to: "split" }
  /** Starts only if `wakes` is what the worker saw and something that it waits for is open (W5); never in the commit that asks for it. */
  | { readonly to: "waiting"; readonly wakes: number }
  /** Not a move of the machine: the claim is given back and the attempt goes on elsewhere. */
  | { readonly to: "released"; readonly due_in_ms?: number };

/** A wait that begins, for one tool call. */
export interface WaitRow {
  readonly id: WaitId;
  readonly attempt: number;
  readonly seq: number;
  readonly kind: WaitKind;
  readonly name: string;
  readonly subject?: JsonObject;
  readonly hash?: string;
  /** Its deadline: an instant, or so long from now by the database's clock. */
  readonly until?: string;
  readonly for_ms?: number;
  readonly on_deadline: OnDeadline;
}

/** An external call: its intent, which makes its row or takes it over, or what became of it. */
export type EffectRow =
  | {
      readonly status: "intended";
      readonly key: string;
      readonly send_key: string;
      readonly root: TaskId;
      readonly attempt: number;
      readonly seq: number;
      readonly tool: string;
      readonly version: string;
      readonly args: JsonObject;
      /** Which turn of a call that may have happened it takes over; a call that was taken over meanwhile is refused. */
      readonly turn?: number;
    }
  | {
      readonly status: "done" | "failed" | "unknown";
      readonly key: string;
      readonly result: { readonly text: string };
    };

export interface Settlement {
  readonly steps: number;
  readonly tokens: number;
  readonly cost_micro_usd: number;
  readonly cost_unknown: boolean;
}

/** Totals that the claim is to hold afterwards. What is needed is all got, or the write says `spent`; the rest where it is free. */
export interface Hold {
  readonly tokens: number;
  readonly need_tokens: number;
  readonly micro_usd: number;
  readonly need_micro_usd: number;
  /** Nobody knows what the call will cost. */
  readonly unpriced?: boolean;
}

export interface GoalEnd {
  readonly to: Extract<GoalStatus, "succeeded" | "failed" | "abandoned">;
  readonly reason?: GoalReason;
  readonly detail?: string;
  readonly answer?: string;
  readonly citations?: unknown;
  /** Ends even with live tasks, which are cancelled. */
  readonly force?: boolean;
}

/** A question that begins. */
export interface QuestionRow {
  readonly id: QuestionId;
  readonly about: QuestionSubject;
  readonly text: string;
  readonly default: string;
  readonly for_ms: number;
}

interface WriteBase {
  readonly id: WriteId;
  readonly goal: GoalId;
  readonly fence: number;
  readonly steps?: readonly StepRow[];
  readonly prompts?: readonly { readonly hash: string; readonly body: string }[];
  readonly blobs?: readonly { readonly hash: string; readonly body: string }[];
  readonly files?: readonly FileRow[];
  readonly memory?: readonly MemoryRow[];
  readonly settle?: Settlement;
  /** Steps to reserve for what comes next. */
  readonly reserve?: number;
  /** Tokens and money to hold for the next model call. */
  readonly hold?: Hold;
  /** What it needs was away: counted, so that the next wait is longer. */
  readonly backoff?: boolean;
  readonly events?: readonly NewEvent[];
}

/** By whoever claimed a task: its executor, its reflector. */
export interface TaskWrite extends WriteBase {
  readonly task: TaskId;
  readonly move?: TaskMove;
  readonly waits?: readonly WaitRow[];
  readonly effects?: readonly EffectRow[];
  /** What a split becomes. */
  readonly tasks?: readonly TaskRow[];
}

/** By whoever claimed a goal: its planner. */
export interface GoalWrite extends WriteBase {
  readonly task?: never;
  /** `read`: how many requests for a plan were seen, so that one that came meanwhile is not lost (W5). */
  readonly plan?: { readonly tasks: readonly TaskRow[]; readonly read: number };
  readonly end?: GoalEnd;
  /** What its text is understood to ask for. */
  readonly intake?: Intake;
  readonly guards?: GuardCounts;
  /** The goal waits for its submitter; what was wanted of the planner stays wanted. */
  readonly ask?: QuestionRow;
  readonly release?: { readonly due_in_ms: number };
}

export type Write = TaskWrite | GoalWrite;

/** A write without what every write of one claim has in common. */
export type TaskChange = Omit<TaskWrite, "id" | "goal" | "fence" | "task">;
export type GoalChange = Omit<GoalWrite, "id" | "goal" | "fence" | "task">;

export type Committed =
  /** `spent`: applied, but what it wanted to reserve is over a budget, or `wait`: others hold what is left of it. */
  | {
      readonly outcome: "won";
      readonly goalStatus: GoalStatus;
      readonly spent: string | null;
      /** What the claim holds of its budgets now. */
      readonly held: Held;
    }
  | { readonly outcome: "stale" }
  | { readonly outcome: "refused"; readonly why: string };

/** What a commit sets in motion outside of the database. */
export interface Aftermath {
  jobs(jobs: readonly DueJob[]): Promise<void>;
  /** The newest event number of a goal that changed. */
  events(goalId: string, newest: number): void;
  /** How many tasks are in flight; known to `manyInFlight` only. */
  inFlight?(tasks: number): void;
}

export interface Door {
  commit(write: Write): Promise<Committed>;
}

export interface CommitReply {
  readonly writes: readonly {
    readonly id: string;
    readonly outcome: "won" | "stale" | "refused" | "busy";
    readonly why?: string;
    readonly spent?: string;
    readonly goal_status?: GoalStatus;
    readonly held?: { steps: number; tokens: number; micro_usd: number; money: boolean };
  }[];
  readonly jobs: readonly DueJob[];
  readonly events: Readonly<Record<string, number>> | null;
  /** Tasks of one tenant on queues or in work, `manyInFlight` at most; absent where the batch made nothing due. */
  readonly in_flight?: number | null;
}

/** How long a lost connection is tried again before the worker gives up its claim: an outage of Postgres of this length costs no work. */
const giveUpAfterMs = 60_000;
const firstRetryMs = 50;
const maxRetryMs = 1000;
/** Prompts that are known to be stored and so are not sent again; few are in use. */
const maxKnownPrompts = 1000;

/**
 * From so many tasks in flight on, what is done together is worth waiting for: more than a goal or two alone have, so that
 * they wait for nobody. `commit_writes` counts no further.
 */
export const manyInFlight = 16;

/** A commit of 64 writes takes a few milliseconds; larger ones make everybody wait for longer and win little. */
export const defaultBatchLimits = { maxWrites: 64, maxBytes: 4 * 1024 * 1024 };

export interface DoorOptions {
  /** Tasks of one tenant that may be on queues or in work at once (W7). */
  readonly tenantCap: number;
  /** Writes that one commit takes at most, and their bytes. */
  readonly maxWrites: number;
  readonly maxBytes: number;
  /** Keeps the process's secrets out of all that is written. */
  readonly redactor?: Pick<Redactor, "has" | "kept">;
  /** How long a batch waits for more writes. */
  readonly gatherMs?: () => number;
  readonly pause: (ms: number) => Promise<void>;
  readonly clock: () => number;
}

/** A write with its JSON, made once however often it is sent. */
export interface SealedWrite {
  readonly write: Write;
  readonly text: string;
}

/**
 * One batch through the door, as it is: one statement, one transaction, one reply.
 * @param alone whether goals that are locked are waited for; else the writes to them come back as `busy`
 * @param tenantCap tasks of one tenant that may be on queues or in work at once (W7)
 */
export async function commitWrites(
  db: Db,
  writes: readonly SealedWrite[],
  alone: boolean,
  tenantCap: number,
): Promise<CommitReply> {
  const { rows } = await sql<{ reply: CommitReply }>`
    SELECT commit_writes(${`[${writes.map((each) => each.text).join(",")}]`}::jsonb, ${alone}, ${tenantCap}::integer) AS reply`.execute(
    db,
  );
  const reply = rows[0]?.reply;
  if (reply === undefined) throw new OuterloopError("internal", "commit_writes returned nothing");
  return reply;
}

interface Sealed extends SealedWrite {
  readonly prompts: readonly string[];
  readonly deadline: number;
}

interface Settled {
  readonly committed: Committed;
  /** When the jobs that followed are on their queues. */
  readonly sent: Promise<void>;
}

/** What the door needs of the store. */
export interface WriteStore {
  commitWrites(writes: readonly SealedWrite[], alone: boolean, tenantCap: number): Promise<CommitReply>;
}

/**
 * Writes of concurrent tasks are gathered: what comes during a commit goes with the next one (W1). A split goes by itself: it
 * is rare, and holds its goal for longest.
 */
export function createDoor(store: WriteStore, aftermath: Aftermath, options: DoorOptions): Door {
  const known = new Set<string>();
  const gatherer = createGatherer<Sealed, Settled>({
    maxItems: options.maxWrites,
    maxBytes: options.maxBytes,
    bytesOf: (sealed) => sealed.text.length,
    send: commitBatch,
    ...(options.gatherMs !== undefined && { gatherMs: options.gatherMs }),
  });

  function seal(given: Write): Sealed {
    const { prompts = [], ...rest } = given;
    const fresh = prompts.filter((prompt) => !known.has(prompt.hash));
    let write: Write = fresh.length > 0 ? { ...rest, prompts: fresh } : rest;
    let text = JSON.stringify(write);
    // Only what is strange or long is looked at more closely. A text that is kept by hash keeps the hash of what it was: who goes
    // by it finds the text without its secret.
    const cleanWrite = options.redactor?.has(text) === true ? options.redactor.kept(write) : write;
    const storableWrite = mayBeUnstorable(text) ? storable(cleanWrite) : cleanWrite;
    const kept = text.length > inlineChars ? keepTexts(storableWrite) : storableWrite;
    if (kept !== write) {
      write = kept;
      text = JSON.stringify(write);
    }
    return { write, text, prompts: fresh.map((prompt) => prompt.hash), deadline: options.clock() + giveUpAfterMs };
  }

  /** Until Postgres answers: the same writes again, but for those that have waited too long. */
  async function commitBatch(batch: readonly Sealed[], wait: boolean): Promise<readonly (Answer<Settled> | "busy")[]> {
    let waitMs = firstRetryMs;
    let reply: CommitReply;
    // Ends with an answer, at the last write's deadline, or with a fault that trying again cannot mend.
    for (;;) {
      try {
        reply = await store.commitWrites(batch, wait, options.tenantCap);
        failpoint("commit.applied");
        break;
      } catch (thrown) {
        known.clear();
        if (!isTransient(thrown)) {
          if (batch.length === 1) return [{ thrown }];
          // One of them it is: halves, until it is alone (W2).
          const middle = Math.ceil(batch.length / 2);
          return [
            ...(await commitBatch(batch.slice(0, middle), wait)),
            ...(await commitBatch(batch.slice(middle), wait)),
          ];
        }
        const late = batch.filter((each) => options.clock() + waitMs > each.deadline);
        if (late.length > 0) {
          const rest = batch.filter((each) => !late.includes(each));
          const answers = rest.length === 0 ? [] : await commitBatch(rest, wait);
          return batch.map((each) =>
            late.includes(each) ? { thrown: unavailable(each.write, thrown) } : answers[rest.indexOf(each)]!,
          );
        }
        await options.pause(waitMs);
        waitMs = Math.min(waitMs * 2, maxRetryMs);
      }
    }
    for (const { prompts } of batch) for (const hash of prompts) if (known.size < maxKnownPrompts) known.add(hash);
    if (typeof reply.in_flight === "number") aftermath.inFlight?.(reply.in_flight);
    for (const [goalId, newest] of Object.entries(reply.events ?? {})) aftermath.events(goalId, newest);
    // The next batch does not wait for the queue, only those whose jobs these are.
    const sent = reply.jobs.length === 0 ? Promise.resolve() : aftermath.jobs(reply.jobs);
    const applied = new Map(reply.writes.map((each) => [each.id, each]));
    return batch.map(({ write }) => {
      const own = applied.get(write.id);
      return own?.outcome === "busy" ? "busy" : { reply: { committed: readOutcome(write, own), sent } };
    });
  }

  async function commitAlone(sealed: Sealed): Promise<Settled> {
    const [answer] = await commitBatch([sealed], true);
    if (answer === undefined || answer === "busy") throw new OuterloopError("internal", "no goal to wait for was held");
    if ("thrown" in answer) throw answer.thrown;
    return answer.reply;
  }

  return {
    async commit(given) {
      const sealed = seal(given);
      const { committed, sent } = goesAlone(given) ? await commitAlone(sealed) : await gatherer.add(sealed);
      await sent;
      failpoint("commit.dispatched");
      return committed;
    },
  };
}

function goesAlone(write: Write): boolean {
  return write.task !== undefined && write.tasks !== undefined;
}

function unavailable(write: Write, cause: unknown): OuterloopError {
  return new OuterloopError(
    "store_unavailable",
    `Write ${write.id} of goal ${write.goal} could not be committed for ${giveUpAfterMs / 1000} s`,
    { retry: "backoff", cause },
  );
}

const nothingHeld = { steps: 0, tokens: 0, micro_usd: 0, money: false };

function readOutcome(write: Write, applied: CommitReply["writes"][number] | undefined): Committed {
  switch (applied?.outcome) {
    case "won": {
      const { steps, tokens, micro_usd: microUsd, money } = applied.held ?? nothingHeld;
      const held = { steps, tokens, microUsd, money };
      // The reply to a write that was applied before does not say what was refused then; what is held does.
      const lacks = steps < (write.reserve ?? 0) || tokens < (write.hold?.need_tokens ?? 0);
      const spent = applied.spent ?? (lacks ? "wait" : null);
      return { outcome: "won", goalStatus: applied.goal_status ?? "running", spent, held };
    }
    case "refused":
      return { outcome: "refused", why: applied.why ?? "refused" };
    case "stale":
    case "busy":
    case undefined:
      return { outcome: "stale" };
  }
}

/** Connection trouble, a deadlock or a lock that was not given in time: nothing was decided, so the same write goes again. */
function isTransient(thrown: unknown): boolean {
  if (thrown instanceof OuterloopError) return thrown.code === "store_unavailable";
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  return code === "40P01" || code === "40001" || code === "55P03";
}
