/** For tests: a workspace in memory, and a context around it that applies what stored tools write. */
import { defaultTenant } from "@outerloop/core/domain";
import type {
  FinishedTask,
  GoalId,
  RecalledMemory,
  StoredWrite,
  TaskId,
  ToolContext,
  Workspace,
} from "@outerloop/core/domain";

export interface MemoryWorkspace extends Workspace {
  put(path: string, content: string | Uint8Array): void;
  apply(writes: readonly StoredWrite[]): void;
  text(path: string): string | undefined;
  readonly notes: readonly string[];
  /** Reads so far, to see what a cache saves. */
  reads(): number;
}

export function createMemoryWorkspace(initial: Readonly<Record<string, string | Uint8Array>> = {}): MemoryWorkspace {
  const files = new Map<string, { bytes: Uint8Array; version: number }>();
  const notes: string[] = [];
  let version = 0;
  let reads = 0;
  const put = (path: string, content: string | Uint8Array) => {
    version += 1;
    files.set(path, { bytes: typeof content === "string" ? new TextEncoder().encode(content) : content, version });
  };
  const text = (path: string) => {
    const file = files.get(path);
    return file && new TextDecoder().decode(file.bytes);
  };
  for (const [path, content] of Object.entries(initial)) put(path, content);
  return {
    put,
    text,
    notes,
    reads: () => reads,
    apply(writes) {
      for (const write of writes) {
        if (write.kind === "note") notes.push(write.text);
        else put(write.path, write.mode === "append" ? (text(write.path) ?? "") + write.text : write.text);
      }
    },
    list: async () =>
      [...files].map(([path, { bytes, version: at }]) => ({ path, size: bytes.length, version: at, hash: `v${at}` })),
    read: async (path) => {
      reads += 1;
      return files.get(path)?.bytes;
    },
  };
}

export interface MemoryContextParts {
  readonly workspace?: Workspace;
  readonly signal?: AbortSignal;
  readonly memories?: readonly RecalledMemory[];
  readonly finished?: readonly FinishedTask[];
  readonly goalId?: string;
}

export function createMemoryContext(parts: MemoryContextParts = {}): ToolContext {
  return {
    principal: { kind: "worker", tenantId: defaultTenant },
    goalId: (parts.goalId ?? "g_test") as GoalId,
    taskId: "t_test" as TaskId,
    signal: parts.signal ?? new AbortController().signal,
    idempotencyKey: "key",
    workspace: parts.workspace ?? createMemoryWorkspace(),
    recall: async (_query, limit) => (parts.memories ?? []).slice(0, limit),
    finishedTasks: async () => parts.finished ?? [],
  };
}
