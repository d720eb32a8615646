/** Looks up what a goal's own contract is checked against at its end. */
import {
  checkGoal,
  createWorkspace,
  goalNeeds,
  type EndedTask,
  type EvidenceCheck,
  type Goal,
  type GoalRow,
  type Store,
  type TaskInGoal,
} from "@outerloop/core";

/** A contract asks for one of them; more is not looked through. */
const maxNotes = 200;

export async function checkGoalEvidence(
  store: Pick<
    Store,
    "listArtifacts" | "readArtifact" | "listWriters" | "listReachedOut" | "listSucceeded" | "listNotes"
  >,
  goal: Goal,
  row: GoalRow,
  answer: string,
  tasks: readonly TaskInGoal[],
): Promise<EvidenceCheck> {
  const needs = goalNeeds(goal, answer);
  const workspace = createWorkspace(store, goal.id);
  const [files, writers, succeeded, reachedOut, notes] = await Promise.all([
    Promise.all(needs.paths.map(async (path) => [path, await workspace.read(path)] as const)),
    needs.writers ? store.listWriters(goal.id) : new Map<string, readonly string[]>(),
    needs.tools ? store.listSucceeded(row, null) : [],
    needs.reachedOut ? store.listReachedOut(goal.id, null) : [],
    needs.notes ? store.listNotes(goal.id, maxNotes) : [],
  ]);
  const decoder = new TextDecoder();
  const lines = new Map(
    files.flatMap(([path, bytes]) =>
      bytes === undefined ? [] : [[path, decoder.decode(bytes).split(/\r?\n/)] as const],
    ),
  );
  const facts = {
    lines: (path: string) => lines.get(path),
    writersOf: (path: string) => writers.get(path) ?? [],
    wroteFile: writers.size > 0,
    reachedOut: new Set(reachedOut),
    succeeded: new Set(succeeded),
    notes,
  };
  const ended = tasks.flatMap(({ task: { key, text, status, reason } }): EndedTask[] => {
    if (status === "done") return [{ key, text, outcome: "done" }];
    // What a budget cut off was to be planned again, or was not needed.
    const isVain = status === "failed" || status === "abandoned" || (status === "cancelled" && reason !== "goal_ended");
    return isVain ? [{ key, text, outcome: "nothing" }] : [];
  });
  return checkGoal(goal, answer, facts, ended);
}
