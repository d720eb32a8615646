/** What a planner reads before it asks, and what the guards see of it. */
import type {
  ArtifactInfo,
  ClaimedGoal,
  Goal,
  GuardedGoal,
  RecalledMemory,
  SessionTurn,
  StageRuntime,
  TaskInGoal,
} from "@outerloop/core";

/** The memory window: most recent N and most similar K, so that it is deterministic. */
const memoryWindow = { recent: 4, similar: 6 } as const;
const sessionTurns = 5;

export interface Material {
  readonly files: readonly ArtifactInfo[];
  readonly session: readonly SessionTurn[];
  readonly memories: readonly RecalledMemory[];
  readonly tasks: readonly TaskInGoal[];
}

export async function readMaterial(
  { store, memory }: Pick<StageRuntime, "store" | "memory">,
  { goal, row, tasks }: ClaimedGoal,
  signal: AbortSignal,
): Promise<Material> {
  const [files, session, memories] = await Promise.all([
    row.file_seq === 0 ? [] : store.listArtifacts(goal.id),
    store.sessionHistory(row, sessionTurns),
    memory.recall({ tenantId: goal.tenantId, query: goal.text, ...memoryWindow, signal }),
  ]);
  return { files: files.filter((file) => file.origin !== "observed"), session, memories, tasks };
}

export function guardedGoal(goal: Goal, { files, tasks }: Material): GuardedGoal {
  // The first plan's tasks were all written by one commit.
  const first = tasks[0]?.row.created_at.getTime();
  return {
    goal,
    files,
    tasks: tasks.map(({ task, row }) => ({ task, isFirst: row.created_at.getTime() === first })),
  };
}
