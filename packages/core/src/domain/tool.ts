/** What a skill offers and what the executor knows of it. The registry and the built-in skills live in `@outerloop/skills`. */
import type { z } from "zod";
import type { GoalId, TaskId } from "./ids.ts";
import type { Probed } from "./effect.ts";
import type { Principal } from "./principal.ts";
import type { WaitRequest } from "./wait.ts";

/**
 * - `pure`: may run again (search, fetch, read). Its result is journaled.
 * - `stored`: only describes writes to our database; they commit together with its journal entry, so exactly once.
 * - `external`: reaches out. It waits for an approval, its intent is journaled before it runs, and it is never silently repeated.
 */
export type ToolEffect = "pure" | "stored" | "external";

/** A write that a stored tool asks for, as data (W10). */
export type StoredWrite =
  | { readonly kind: "file"; readonly mode: "write" | "append"; readonly path: string; readonly text: string }
  | { readonly kind: "note"; readonly text: string };

export type ToolOutcome =
  | {
      readonly ok: true;
      readonly text: string;
      readonly writes?: readonly StoredWrite[];
      /** Its task sleeps on this, and the call is answered when it is over. Only a `pure` tool may ask for it, since it may be asked again. */
      readonly wait?: WaitRequest;
    }
  /** `unknown`: an external call that may have happened all the same. Without it, a failed one certainly did not. */
  | { readonly ok: false; readonly text: string; readonly unknown?: true };

export interface WorkspaceFile {
  readonly path: string;
  /** Size in bytes. */
  readonly size: number;
  /** The goal's counter at the last write to this path; grows with every write, so it serves as a cache key. */
  readonly version: number;
  readonly hash: string;
}

/** Reads a goal's files. Paths are workspace paths: relative, `/` as separator, no `..`. */
export interface Workspace {
  list(): Promise<readonly WorkspaceFile[]>;
  /** The bytes of the newest version; undefined where there is no such file. */
  read(path: string): Promise<Uint8Array | undefined>;
}

export interface RecalledMemory {
  readonly id: string;
  readonly kind: string;
  readonly text: string;
  readonly createdAt: string;
  /** Cosine similarity to the query, 0–1. */
  readonly similarity: number;
}

export interface FinishedTask {
  readonly key: string;
  readonly text: string;
  readonly status: string;
  readonly result: string;
}

/** What a tool may touch while it runs. Writes go out as data in its outcome. */
export interface ToolContext {
  readonly principal: Principal;
  readonly goalId: GoalId;
  readonly taskId: TaskId;
  readonly signal: AbortSignal;
  /** The same for every attempt at this call: an external receiver deduplicates by it. */
  readonly idempotencyKey: string;
  readonly workspace: Workspace;
  recall(query: string, limit: number): Promise<readonly RecalledMemory[]>;
  finishedTasks(): Promise<readonly FinishedTask[]>;
}

interface ToolBase<Args> {
  readonly name: string;
  /** Changes when the tool's behaviour does; approvals are bound to it. */
  readonly version: string;
  readonly description: string;
  readonly input: z.ZodType<Args>;
  /** How long one call may take. */
  readonly timeoutMs: number;
  run(args: Args, context: ToolContext): Promise<ToolOutcome>;
}

/** A tool that reaches out says what is known when a call of it was cut off in the middle. */
export interface ExternalTool<Args = unknown> extends ToolBase<Args> {
  readonly effect: "external";
  /** Whether its receiver takes a call with a key that it has seen for the same call. */
  readonly deduplicates?: boolean | ((args: Args) => boolean);
  /** Asks the receiver whether the call with this key happened. */
  reconcile?(args: Args, context: ToolContext): Promise<Probed>;
}

export interface InternalTool<Args = unknown> extends ToolBase<Args> {
  readonly effect: Exclude<ToolEffect, "external">;
  /** What a `stored` tool leaves behind. Without it, files: a task that is to write one needs a tool that can. */
  readonly makes?: "file" | "note";
}

export type Tool<Args = unknown> = InternalTool<Args> | ExternalTool<Args>;

/** Whether a call of it can leave a file. */
export function makesFiles(tool: Tool<never> | undefined): boolean {
  return tool?.effect === "stored" && tool.makes !== "note";
}

/** A named bundle that offers tools. */
export interface Skill {
  readonly name: string;
  readonly description: string;
  readonly tools: readonly Tool<never>[];
}
