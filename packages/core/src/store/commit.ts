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
import { storable, type JsonObject } from "../domain/json.ts";
import type { GoalReason, GoalStatus } from "../domain/goal.ts";
import type { GoalId, TaskId, WaitId, WriteId } from "../domain/ids.ts";
import { failpoint } from "../failpoints.ts";
import type { Evidence } from "../domain/plan.ts";
import type { OnDeadline, WaitKind } from "../domain/wait.ts";
import type { Db } from "./database.ts";
import { keepTexts } from "./kept-texts.ts";

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
  | { readonly to: "done" }
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
}

/** How long a lost connection is tried again before the worker gives up its claim: an outage of Postgres of this length costs no work. */
const giveUpAfterMs = 60_000;

export interface DoorOptions {
  /** Tasks of one tenant that may be on queues or in work at once (W7). */
  readonly tenantCap: number;
  readonly pause: (ms: number) => Promise<void>;
  readonly clock: () => number;
}

/**
 * One batch through the door, as it is: one statement, one reply.
 * @param alone whether goals that are locked are waited for; else the writes to them come back as `busy`
 * @param tenantCap tasks of one tenant that may be on queues or in work at once (W7)
 */
export async function commitWrites(
  db: Db,
  writes: readonly Write[],
  alone: boolean,
  tenantCap: number,
): Promise<CommitReply> {
  const { rows } = await sql<{ reply: CommitReply }>`
    SELECT commit_writes(${JSON.stringify(writes)}::jsonb, ${alone}, ${tenantCap}::integer) AS reply`.execute(db);
  const reply = rows[0]?.reply;
  if (reply === undefined) throw new OuterloopError("internal", "commit_writes returned nothing");
  return reply;
}

/** What the door needs of the store. */
export interface WriteStore {
  commitWrites(writes: readonly Write[], alone: boolean, tenantCap: number): Promise<CommitReply>;
}

export function createDoor(store: WriteStore, aftermath: Aftermath, options: DoorOptions): Door {
  return {
    async commit(given) {
      const write = keepTexts(storable(given));
      const deadline = options.clock() + giveUpAfterMs;
      let waitMs = 50;
      // Ends with an answer, at the deadline, or with a fault that trying again cannot mend.
      for (;;) {
        try {
          const reply = await store.commitWrites([write], true, options.tenantCap);
          failpoint("commit.applied");
          for (const [goalId, newest] of Object.entries(reply.events ?? {})) aftermath.events(goalId, newest);
          await aftermath.jobs(reply.jobs);
          failpoint("commit.dispatched");
          return readOutcome(write, reply);
        } catch (thrown) {
          if (!isTransient(thrown)) throw thrown;
          if (options.clock() + waitMs > deadline)
            throw new OuterloopError(
              "store_unavailable",
              `Write ${write.id} of goal ${write.goal} could not be committed for ${giveUpAfterMs / 1000} s`,
              { retry: "backoff", cause: thrown },
            );
          await options.pause(waitMs);
          waitMs = Math.min(waitMs * 2, 1000);
        }
      }
    },
  };
}

const nothingHeld = { steps: 0, tokens: 0, micro_usd: 0, money: false };

function readOutcome(write: Write, reply: CommitReply): Committed {
  const applied = reply.writes.find((each) => each.id === write.id);
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
