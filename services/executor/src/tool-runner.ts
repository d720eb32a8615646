/**
 * Runs the tool calls of one model turn and journals each (W4). Independent reads run side by side; what writes runs in
 * the order of the calls, so that appended lines stand as the model asked.
 */
import {
  canonicalJson,
  createWorkspace,
  listTasks,
  refusedCallText,
  sha256,
  type ClaimedTask,
  type Committed,
  type FileRow,
  type MemoryRow,
  type PendingCall,
  type Runtime,
  type StepRow,
  type ToolContext,
  type ToolOutcome,
  type ToolStep,
  type TaskChange,
} from "@outerloop/core";
import type { Registry } from "@outerloop/skills";

type Commit = (write: TaskChange) => Promise<Committed>;

export interface ToolsRan {
  readonly steps: readonly ToolStep[];
  /** How the last of the turn's commits ended. */
  readonly committed: Committed;
  /** Set where an external call began before a crash and nobody knows whether it happened: a person must decide. */
  readonly unknownOutcome: string | null;
}

export interface ToolRunner {
  run(calls: readonly PendingCall[], commit: Commit): Promise<ToolsRan>;
}

const stale: Committed = { outcome: "stale" };

export function createToolRunner(
  runtime: Runtime,
  registry: Registry,
  claim: ClaimedTask,
  lost: AbortSignal,
): ToolRunner {
  const { task } = claim;

  function contextFor(pending: PendingCall): ToolContext {
    return {
      principal: { kind: "worker", tenantId: task.tenantId },
      goalId: task.goalId,
      taskId: task.id,
      signal: lost,
      // Of the root task and the call itself, never of the attempt: a retry or a split finds the same key.
      idempotencyKey: sha256(`${task.rootId}\n${pending.call.name}\n${canonicalJson(pending.call.args)}`),
      workspace: createWorkspace(runtime.db, task.goalId),
      recall: (query, limit) =>
        runtime.memory.recall({ tenantId: task.tenantId, query, similar: limit, recent: 0, signal: lost }),
      finishedTasks: async () =>
        (await listTasks(runtime.db, task.goalId))
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

  async function runOne(pending: PendingCall): Promise<{ readonly outcome: ToolOutcome; readonly durationMs: number }> {
    if (pending.refused) return { outcome: { ok: false, text: refusedCallText }, durationMs: 0 };
    const start = performance.now();
    const outcome = await registry.run(pending.call, contextFor(pending));
    const durationMs = Math.round(performance.now() - start);
    runtime.metrics.toolSeconds.observe(
      { tool: registry.get(pending.call.name)?.name ?? "unknown", outcome: outcome.ok ? "ok" : "error" },
      durationMs / 1000,
    );
    return { outcome, durationMs };
  }

  async function journal(
    pending: PendingCall,
    outcome: ToolOutcome,
    durationMs: number,
    reserve: number,
    commit: Commit,
  ): Promise<{ readonly step: ToolStep; readonly committed: Committed }> {
    const { call, seq } = pending;
    const text = outcome.text + pending.note;
    const step: ToolStep = {
      kind: "tool",
      attempt: task.attempt,
      seq,
      stage: "execute",
      durationMs,
      name: call.name,
      args: call.args,
      ok: outcome.ok,
      output: { callId: call.id, text },
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
    const writes = outcome.ok ? (outcome.writes ?? []) : [];
    const files = writes.flatMap((write): FileRow[] => {
      if (write.kind !== "file") return [];
      const bytes = Buffer.from(write.text, "utf8");
      return [{ path: write.path, mode: write.mode, base64: bytes.toString("base64"), hash: sha256(bytes) }];
    });
    const notes = writes.flatMap((write) => (write.kind === "note" ? [write.text] : []));
    const vectors = notes.length === 0 ? [] : await runtime.memory.embed(notes, lost);
    const memory = notes.map((note, index): MemoryRow => ({
      id: runtime.createId("memory"),
      kind: "note",
      text: note,
      ...vectors[index]!,
    }));
    const committed = await commit({
      steps: [row],
      // A call that was not run costs nothing.
      settle: { steps: pending.refused ? 0 : 1, tokens: 0, cost_micro_usd: 0, cost_unknown: false },
      ...(files.length > 0 && { files }),
      ...(memory.length > 0 && { memory }),
      ...(reserve > 0 && { reserve }),
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
  }

  /** The intent goes to the journal first. Finding it there already means that an earlier claim sent it and did not live to tell. */
  async function declareIntent(pending: PendingCall, commit: Commit): Promise<"declared" | "stale" | "unknown"> {
    const row: StepRow = {
      attempt: task.attempt,
      seq: pending.seq,
      phase: "intent",
      stage: "execute",
      kind: "tool",
      name: pending.call.name,
      input: pending.call.args,
      output: null,
      ok: true,
      duration_ms: 0,
    };
    try {
      return (await commit({ steps: [row] })).outcome === "won" ? "declared" : "stale";
    } catch (thrown) {
      if (thrown instanceof Error && "code" in thrown && thrown.code === "23505") return "unknown";
      throw thrown;
    }
  }

  return {
    async run(calls, commit) {
      const effectOf = (pending: PendingCall) =>
        pending.refused ? "pure" : (registry.get(pending.call.name)?.effect ?? "pure");
      const reads = calls.filter((pending) => effectOf(pending) === "pure");
      const writes = calls.filter((pending) => effectOf(pending) !== "pure");
      const steps: ToolStep[] = [];
      let left = calls.length;
      let committed: Committed = stale;
      const settle = async (pending: PendingCall, outcome: ToolOutcome, durationMs: number) => {
        left -= 1;
        // The last result of the turn reserves the model call that reads them.
        const journaled = await journal(pending, outcome, durationMs, left === 0 ? 1 : 0, commit);
        steps.push(journaled.step);
        committed = journaled.committed;
        return committed.outcome === "won";
      };

      for (const read of await Promise.all(reads.map(async (pending) => ({ pending, ...(await runOne(pending)) })))) {
        if (!(await settle(read.pending, read.outcome, read.durationMs)))
          return { steps, committed, unknownOutcome: null };
      }
      for (const pending of writes) {
        if (effectOf(pending) === "external") {
          const intent = await declareIntent(pending, commit);
          if (intent === "stale") return { steps, committed: stale, unknownOutcome: null };
          if (intent === "unknown")
            return {
              steps,
              committed,
              unknownOutcome: `${pending.call.name} began before a crash and nobody knows whether it happened; look, then retry or abandon`,
            };
        }
        const { outcome, durationMs } = await runOne(pending);
        if (!(await settle(pending, outcome, durationMs))) break;
      }
      return { steps, committed, unknownOutcome: null };
    },
  };
}

/** What a watcher sees of a call: its path or query, short. */
function aboutCall(args: Readonly<Record<string, unknown>>): string {
  const about = args["query"] ?? args["path"] ?? args["text"] ?? "";
  return (typeof about === "string" ? about : JSON.stringify(about)).replaceAll(/\s+/g, " ").slice(0, 80);
}
