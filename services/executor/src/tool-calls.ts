/** What one tool call is given and how its result is journaled: the same for every effect. */
import {
  canonicalJson,
  createWorkspace,
  failpoint,
  observationPath,
  observe,
  refusedCallText,
  sha256,
  type ClaimedTask,
  type Committed,
  type EffectRow,
  type FileRow,
  type JsonObject,
  type MemoryRow,
  type PendingCall,
  type StageRuntime,
  type StepRow,
  type TaskChange,
  type ToolContext,
  type ToolOutcome,
  type ToolStep,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";

/** Writes under the task's claim and keeps count of the steps that are reserved for it. */
export interface ClaimWriter {
  commit(change: TaskChange): Promise<Committed>;
  /** Steps that are reserved and not used. */
  reserved(): number;
  /** Whether nobody can have taken the claim over. */
  stands(): boolean;
}

/** Whether the next call may begin after this commit. */
export function mayGoOn(committed: Committed): boolean {
  return committed.outcome === "won" && committed.spent === null && committed.goalStatus !== "paused";
}

export interface RanCall {
  readonly outcome: ToolOutcome;
  readonly durationMs: number;
}

export interface ToolCalls {
  /**
   * Of root task, tool, canonical arguments and nth occurrence in the attempt, never of the attempt itself: a later attempt
   * or a split that asks for the same finds the same key.
   */
  keyOf(tool: string, args: JsonObject, occurrence: number): string;
  contextFor(key: string): ToolContext;
  run(pending: PendingCall, args: JsonObject, key: string): Promise<RanCall>;
  /** Journals a result. A call that was not run costs no step. */
  journal(pending: PendingCall, ran: RanCall, more: JournalOptions): Promise<Journaled>;
}

export interface JournalOptions {
  readonly costsStep: boolean;
  /** Reserves the model call that reads the turn's results. */
  readonly isLast: boolean;
  readonly effect?: EffectRow;
}

export interface Journaled {
  readonly step: ToolStep;
  readonly committed: Committed;
}

export function createToolCalls(
  runtime: StageRuntime,
  registry: Registry,
  claim: ClaimedTask,
  lost: AbortSignal,
  writer: ClaimWriter,
): ToolCalls {
  const { task } = claim;

  function contextFor(key: string): ToolContext {
    return {
      principal: { kind: "worker", tenantId: task.tenantId },
      goalId: task.goalId,
      taskId: task.id,
      signal: lost,
      idempotencyKey: key,
      workspace: createWorkspace(runtime.store, task.goalId),
      recall: (query, limit) =>
        runtime.memory.recall({ tenantId: task.tenantId, query, similar: limit, recent: 0, signal: lost }),
      finishedTasks: async () =>
        (await runtime.store.listTasks(task.goalId))
          .filter(
            (each) => each.task.status === "done" || each.task.status === "failed" || each.task.status === "abandoned",
          )
          .map((each) => ({
            key: each.task.key,
            text: each.task.text,
            status: each.task.status,
            result: each.task.result ?? each.task.reason ?? "",
          })),
    };
  }

  /** What a stored tool asks to write, as rows of the same commit. */
  async function storedRows(
    outcome: ToolOutcome,
  ): Promise<{ files: readonly FileRow[]; memory: readonly MemoryRow[] }> {
    const writes = outcome.ok ? (outcome.writes ?? []) : [];
    const files = writes.flatMap((write): FileRow[] => {
      if (write.kind !== "file") return [];
      const bytes = Buffer.from(write.text, "utf8");
      return [{ path: write.path, mode: write.mode, base64: bytes.toString("base64"), hash: sha256(bytes) }];
    });
    const notes = writes.flatMap((write) => (write.kind === "note" ? [write.text] : []));
    const vectors = notes.length === 0 ? [] : await runtime.memory.embed(task.tenantId, notes, lost);
    const memory = notes.map((note, index): MemoryRow => ({
      id: runtime.createId("memory"),
      kind: "note",
      text: note,
      ...vectors[index]!,
    }));
    return { files, memory };
  }

  return {
    keyOf: (tool, args, occurrence) => sha256(`${task.rootId}\n${tool}\n${canonicalJson(args)}\n${occurrence}`),
    contextFor,

    async run(pending, args, key) {
      if (pending.refused) return { outcome: { ok: false, text: refusedCallText }, durationMs: 0 };
      const start = performance.now();
      const outcome = runtime.redactor.kept(await registry.run({ name: pending.call.name, args }, contextFor(key)));
      const durationMs = Math.round(performance.now() - start);
      runtime.metrics.toolSeconds.observe(
        { tool: registry.get(pending.call.name)?.name ?? "unknown", outcome: outcome.ok ? "ok" : "error" },
        durationMs / 1000,
      );
      return { outcome, durationMs };
    },

    async journal(pending, { outcome, durationMs }, { costsStep, isLast, effect }) {
      failpoint("tool.ran");
      const { call, seq } = pending;
      const path = observationPath(task, seq);
      const observed = observe(outcome.text, path, runtime.config.observationChars);
      const step: ToolStep = {
        kind: "tool",
        attempt: task.attempt,
        seq,
        stage: "execute",
        durationMs,
        name: call.name,
        args: call.args,
        ok: outcome.ok,
        output: { callId: call.id, text: observed.text + pending.note },
      };
      const row: StepRow = {
        attempt: task.attempt,
        seq,
        phase: "result",
        stage: "execute",
        kind: "tool",
        name: call.name,
        input: call.args,
        output: step.output,
        ok: outcome.ok,
        duration_ms: durationMs,
      };
      const { files: written, memory } = await storedRows(outcome);
      const files = observed.whole === null ? written : [...written, observedRow(path, observed.whole)];
      const left = writer.reserved() - (costsStep ? 1 : 0);
      const committed = await writer.commit({
        steps: [row],
        settle: { steps: costsStep ? 1 : 0, tokens: 0, cost_micro_usd: 0, cost_unknown: false },
        ...(files.length > 0 && { files }),
        ...(memory.length > 0 && { memory }),
        ...(effect !== undefined && { effects: [effect] }),
        ...(isLast && left < 1 && { reserve: 1 }),
        events: [
          {
            type: "step.tool",
            task: task.id,
            data: {
              key: task.key,
              attempt: task.attempt,
              seq,
              tool: call.name,
              ok: outcome.ok,
              ms: durationMs,
              about: aboutCall(call.args),
            },
          },
          ...memory.map((entry) => ({
            type: "memory.written" as const,
            task: task.id,
            data: { key: task.key, id: entry.id, kind: entry.kind },
          })),
        ],
      });
      return { step, committed };
    },
  };
}

function observedRow(path: string, whole: string): FileRow {
  const bytes = Buffer.from(whole, "utf8");
  return { path, mode: "write", base64: bytes.toString("base64"), hash: sha256(bytes), origin: "observed" };
}

/** What a watcher sees of a call: its path, address or query, short. */
export function aboutCall(args: Readonly<Record<string, unknown>>): string {
  const about = args["query"] ?? args["path"] ?? args["url"] ?? args["to"] ?? args["name"] ?? args["text"] ?? "";
  return (typeof about === "string" ? about : JSON.stringify(about)).replaceAll(/\s+/g, " ").slice(0, 80);
}
