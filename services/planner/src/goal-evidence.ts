/** Looks up what a goal's own contract is checked against at its end. */
import {
  checkGoal,
  createWorkspace,
  goalPaths,
  type EvidenceCheck,
  type Goal,
  type GoalRow,
  type Store,
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
): Promise<EvidenceCheck> {
  const paths = goalPaths(goal, answer);
  const contract = goal.intake?.evidence ?? [];
  const workspace = createWorkspace(store, goal.id);
  const [files, writers, succeeded, reachedOut, notes] = await Promise.all([
    Promise.all(paths.map(async (path) => [path, await workspace.read(path)] as const)),
    store.listWriters(goal.id, paths),
    contract.some((item) => "tool" in item) ? store.listSucceeded(row, null) : [],
    store.listReachedOut(goal.id, null),
    contract.some((item) => "note" in item) ? store.listNotes(goal.id, maxNotes) : [],
  ]);
  const decoder = new TextDecoder();
  const lines = new Map(
    files.flatMap(([path, bytes]) =>
      bytes === undefined ? [] : [[path, decoder.decode(bytes).split(/\r?\n/)] as const],
    ),
  );
  return checkGoal(goal, answer, {
    lines: (path) => lines.get(path),
    writersOf: (path) => writers.get(path) ?? [],
    reachedOut: new Set(reachedOut),
    succeeded: new Set(succeeded),
    notes,
  });
}
