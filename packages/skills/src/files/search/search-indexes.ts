/**
 * Keeps what was indexed of each goal's workspace, so that ten searches read its files once. Only what changed is
 * indexed again. Bounded: the least recently used goals are dropped past `maxWords` in all.
 */
import type { GoalId, Workspace } from "@outerloop/core/domain";
import { indexFile, type Dictionary, type FileIndex } from "./file-index.ts";

export interface WorkspaceIndex {
  /** By path. Binary files are listed but hold no words. */
  readonly files: readonly FileIndex[];
  readonly dictionary: Dictionary;
}

export interface SearchIndexes {
  of(context: {
    readonly goalId: GoalId;
    readonly workspace: Workspace;
    readonly signal: AbortSignal;
  }): Promise<WorkspaceIndex>;
  /** Words held now, for tests and metrics. */
  heldWords(): number;
}

/** Words of all goals together: 4 bytes each, and about as much again for lines and the dictionary. 64 MB of text are some 11 million. */
const defaultMaxWords = 40_000_000;
/** A file that changed leaves its words in the dictionary; past this many dead ones it is built anew. */
const maxReplacedFiles = 500;

interface Entry {
  index: WorkspaceIndex;
  words: number;
  replaced: number;
}

export function createSearchIndexes(maxWords: number = defaultMaxWords): SearchIndexes {
  // A Map keeps the order of insertion; an entry that is used is inserted again, so the first one is the oldest.
  const entries = new Map<GoalId, Entry>();
  const underWay = new Map<GoalId, Promise<unknown>>();

  const refresh = async (goalId: GoalId, workspace: Workspace, signal: AbortSignal): Promise<WorkspaceIndex> => {
    const held = entries.get(goalId);
    const old =
      held && held.replaced < maxReplacedFiles
        ? held
        : { index: { files: [], dictionary: { numbers: new Map() } }, words: 0, replaced: 0 };
    const { dictionary } = old.index;
    const known = new Map(old.index.files.map((file) => [file.path, file]));
    const files: FileIndex[] = [];
    let { replaced } = old;
    for (const file of (await workspace.list()).toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
      signal.throwIfAborted();
      const before = known.get(file.path);
      if (before?.version === file.version) {
        files.push(before);
        continue;
      }
      const bytes = await workspace.read(file.path);
      if (bytes === undefined) continue; // deleted since it was listed
      if (before) replaced += 1;
      files.push(await indexFile(file, bytes, dictionary, signal));
    }
    const index = { files, dictionary };
    entries.delete(goalId);
    entries.set(goalId, {
      index,
      words: files.reduce((sum, file) => sum + file.words.length, dictionary.numbers.size),
      replaced,
    });
    dropOldest();
    return index;
  };

  /** Ends: drops one entry a round, and never the last. */
  const dropOldest = () => {
    while (entries.size > 1 && heldWords() > maxWords) entries.delete(entries.keys().next().value!);
  };
  const heldWords = () => [...entries.values()].reduce((sum, entry) => sum + entry.words, 0);

  return {
    heldWords,
    /** Calls for one goal come one after the other, or two would index the same files. */
    of({ goalId, workspace, signal }) {
      const before = underWay.get(goalId) ?? Promise.resolve();
      const turn = before.catch(() => undefined).then(() => refresh(goalId, workspace, signal));
      underWay.set(goalId, turn);
      const leave = () => {
        if (underWay.get(goalId) === turn) underWay.delete(goalId);
      };
      turn.then(leave, leave);
      return turn;
    },
  };
}
