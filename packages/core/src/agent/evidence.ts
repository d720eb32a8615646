/**
 * Evidence, checked by program before any model is asked (DESIGN §6): what must be in the journal or the workspace for a
 * task, or a whole goal, to be done. Pure: the worker looks the facts up.
 *
 * 1. A task is not done while its contract is unmet, whatever a model says.
 * 2. The contract is what the planner wrote and what follows from the words: files that the task's text asks for, and what its result
 *    claims. So it does not depend on a planner that thinks of everything.
 * 3. A file that was attached is no evidence of having written it.
 */
import { citationHolds, findCitations } from "../domain/citation.ts";
import type { Evidence, GoalEvidence } from "../domain/evidence.ts";
import type { Intake } from "../domain/intake.ts";
import type { Task } from "../domain/task.ts";
import type { ToolEffect } from "../domain/tool.ts";
import {
  askedDeeds,
  askedFiles,
  claimedFiles,
  claimedSending,
  claimsNote,
  claimsSomeFile,
  deniesFile,
  expectedFiles,
  namedFiles,
  wantedFiles,
  type AskedDeed,
} from "./claims.ts";

/** What is known of a goal's files and of what reached out. */
export interface WorkspaceFacts {
  /** A text file's lines; undefined where there is no such file. */
  readonly lines: (path: string) => readonly string[] | undefined;
  /** Tasks that wrote to a file, by their ids; none where it was only attached. */
  readonly writersOf: (path: string) => readonly string[];
  /** Tools that reach out whose calls have happened. */
  readonly reachedOut: ReadonlySet<string>;
}

export interface EvidenceFacts extends WorkspaceFacts {
  /** Tools that were called with success in this attempt. */
  readonly succeeded: ReadonlySet<string>;
  readonly effectOf: (tool: string) => ToolEffect | undefined;
  /** Whether a tool can write files. */
  readonly makesFiles: (tool: string) => boolean;
  /** Notes written by this task. */
  readonly notes: readonly string[];
  /** Whether this task wrote to any file. */
  readonly wroteFile: boolean;
}

export interface EvidenceLine {
  readonly met: boolean;
  readonly text: string;
}

export interface EvidenceCheck {
  readonly met: boolean;
  readonly lines: readonly EvidenceLine[];
}

type CheckedTask = Pick<Task, "id" | "text" | "evidence" | "tools">;

const noResultPrefix = "(no result: ";

/** What stands as the result of an attempt that has none. */
export function noResult(why: string): string {
  return `${noResultPrefix}${why})`;
}

function hasNoResult(result: string): boolean {
  return result.startsWith(noResultPrefix) || result.trim() === "";
}

/** Files whose text the check needs: what the contract, the words and the citations name. */
function evidencePaths(task: Pick<Task, "text" | "evidence">, result: string): string[] {
  const paths = new Set([
    ...findCitations(result).map((citation) => citation.path),
    ...namedFiles(task.text),
    ...wantedFiles(task.text).map(({ path }) => path),
  ]);
  for (const item of task.evidence) if ("artifact" in item) paths.add(item.artifact);
  for (const claim of claimedFiles(result)) paths.add(claim.path);
  return [...paths];
}

/** What has to be looked up for a check: most need nothing. */
export function evidenceNeeds(
  task: CheckedTask,
  result: string,
  effectOf: EvidenceFacts["effectOf"],
): { readonly paths: readonly string[]; readonly writers: boolean; readonly reachedOut: boolean } {
  const paths = evidencePaths(task, result);
  const deeds = askedDeeds(task.text);
  const effects = contractOf(task, { effectOf }).map((item) => ("tool" in item ? effectOf(item.tool) : undefined));
  return {
    paths,
    writers: paths.length > 0 || deeds.includes("file") || effects.includes("stored") || claimsSomeFile(result),
    reachedOut: deeds.includes("message") || claimedSending(result) !== null || effects.includes("external"),
  };
}

export function checkEvidence(task: CheckedTask, result: string, facts: EvidenceFacts): EvidenceCheck {
  if (hasNoResult(result))
    return verdictOf([{ met: false, text: `a result: ${result.trim() || "the attempt ended without one"}` }]);
  return verdictOf([
    ...contractOf(task, facts).map((item) => checkItem(item, task, facts)),
    ...checkNamedFiles(task, result, facts),
    ...checkDeeds(askedDeeds(task.text), { ...facts, reachedOut: reachedOutIn(facts) }),
    ...checkClaims(result, facts, { mayWrite: mayWriteFiles(task, facts), points: false }),
    ...checkCitations(result, facts),
  ]);
}

const verdictOf = (lines: readonly EvidenceLine[]): EvidenceCheck => ({ met: lines.every((line) => line.met), lines });

/** Without a contract, every tool that was offered and changes something must have succeeded. */
function contractOf(task: CheckedTask, facts: Pick<EvidenceFacts, "effectOf">): readonly Evidence[] {
  if (task.evidence.length > 0) return task.evidence;
  return task.tools.filter((tool) => (facts.effectOf(tool) ?? "pure") !== "pure").map((tool) => ({ tool }));
}

function checkItem(item: Evidence, task: CheckedTask, facts: EvidenceFacts): EvidenceLine {
  if ("tool" in item) {
    // What an earlier attempt stored or reached out for has happened, and is not done again.
    const met = facts.succeeded.has(item.tool) || facts.reachedOut.has(item.tool) || hasStored(item.tool, facts);
    return { met, text: `tool ${item.tool} was called with success` };
  }
  if ("note" in item) return checkNote(item.note, facts.notes);
  const isMade = mayWriteFiles(task, facts);
  const isSource =
    namedFiles(task.text).includes(item.artifact) && !filesToWrite(task.text, facts).includes(item.artifact);
  return checkArtifact(item, facts, isMade && !isSource);
}

/** What is asked for, and what may be read as well where it is not there to be read. */
function filesToWrite(text: string, facts: WorkspaceFacts): string[] {
  const isAttached = (path: string) => facts.lines(path) !== undefined && facts.writersOf(path).length === 0;
  return wantedFiles(text).flatMap(({ path, how }) => (how === "asked" || !isAttached(path) ? [path] : []));
}

const mayWriteFiles = (task: CheckedTask, facts: EvidenceFacts) =>
  task.tools.length === 0 || task.tools.some(facts.makesFiles);

function hasStored(tool: string, facts: EvidenceFacts): boolean {
  if (facts.effectOf(tool) !== "stored") return false;
  return facts.makesFiles(tool) ? facts.wroteFile : facts.notes.length > 0;
}

/** What reached out, also in this very attempt. */
function reachedOutIn(facts: EvidenceFacts): ReadonlySet<string> {
  return new Set([...facts.reachedOut, ...[...facts.succeeded].filter((tool) => facts.effectOf(tool) === "external")]);
}

/** What the words ask for that leaves no file of a known name. */
function checkDeeds(
  deeds: readonly AskedDeed[],
  facts: Pick<EvidenceFacts, "notes" | "wroteFile" | "reachedOut">,
): EvidenceLine[] {
  return deeds.map((deed) => {
    switch (deed) {
      case "file":
        return { met: facts.wroteFile, text: "a file was written, as is asked for" };
      case "note":
        return { met: facts.notes.length > 0, text: "a note was written, as is asked for" };
      case "message":
        return { met: facts.reachedOut.size > 0, text: "a message was sent by a tool, as is asked for" };
    }
  });
}

function checkNote(note: string, notes: readonly string[]): EvidenceLine {
  const wanted = note.trim().toLowerCase();
  const any = wanted === "" || wanted === "true";
  const met = notes.some((each) => any || each.toLowerCase().includes(wanted));
  return { met, text: any ? "a note was written" : `a note was written that mentions "${note}"` };
}

/** @param isMade whether its being attached is not enough */
function checkArtifact(
  { artifact, contains }: Extract<Evidence, { artifact: string }>,
  facts: WorkspaceFacts,
  isMade: boolean,
): EvidenceLine {
  const file = facts.lines(artifact);
  if (file === undefined) return { met: false, text: `the file ${artifact} exists` };
  if (isMade && facts.writersOf(artifact).length === 0)
    return { met: false, text: `the file ${artifact} was written: it is as it was attached` };
  if (file.every((line) => line.trim() === ""))
    return { met: false, text: `the file ${artifact} holds something: it is empty` };
  if (contains === undefined) return { met: true, text: `the file ${artifact} exists` };
  const met = file.join("\n").toLowerCase().includes(contains.toLowerCase());
  return { met, text: `the file ${artifact} holds "${contains}"` };
}

/** What the task's own words ask for. */
function checkNamedFiles(task: CheckedTask, result: string, facts: EvidenceFacts): EvidenceLine[] {
  const asked = filesToWrite(task.text, facts);
  const mayWrite = mayWriteFiles(task, facts);
  return [...new Set([...expectedFiles(task.text), ...asked])].flatMap((path): EvidenceLine[] => {
    const file = facts.lines(path);
    if (asked.includes(path)) {
      if (!facts.writersOf(path).includes(task.id))
        return [{ met: false, text: `the file ${path}, which the task asks for, was written by a call of this task` }];
      const isEmpty = file === undefined || file.every((line) => line.trim() === "");
      return [
        {
          met: !isEmpty,
          text: `the file ${path}, which the task asks for, is written${isEmpty ? ": it is empty" : ""}`,
        },
      ];
    }
    // Whatever language it asks in: a file that is named and not there was to be written, or its absence is the finding.
    if (file === undefined && mayWrite && !deniesFile(result, path))
      return [
        { met: false, text: `the file ${path}, which the task names, exists, or the result says that it does not` },
      ];
    return [];
  });
}

/** What a text says was made or sent must have been. */
function checkClaims(
  text: string,
  facts: WorkspaceFacts & Pick<EvidenceFacts, "notes" | "wroteFile">,
  { mayWrite, points }: { readonly mayWrite: boolean; readonly points: boolean },
): EvidenceLine[] {
  const files = claimedFiles(text, points).flatMap(({ path, byMe }): EvidenceLine[] => {
    const isThere = facts.lines(path) !== undefined;
    const isClaim = byMe ? facts.writersOf(path).length === 0 : !isThere && mayWrite;
    if (!isClaim) return [];
    const why = isThere ? "it is as it was attached" : "there is no such file";
    return [{ met: false, text: `the file ${path} was written, as the answer says: ${why}` }];
  });
  if (claimsSomeFile(text) && !facts.wroteFile)
    files.push({ met: false, text: "a file was written, as the answer says: no call did this" });
  if (claimsNote(text) && facts.notes.length === 0)
    files.push({ met: false, text: "a note was written, as the answer says: no call did this" });
  const sent = claimedSending(text);
  if (sent !== null && facts.reachedOut.size === 0)
    files.push({ met: false, text: `"${sent.trim().slice(0, 200)}": no call did this` });
  return files;
}

/** Cited words that do not stand where the citation says are a false claim, whatever the contract asks. */
function checkCitations(text: string, facts: WorkspaceFacts): EvidenceLine[] {
  return findCitations(text).flatMap((citation): EvidenceLine[] => {
    const file = facts.lines(citation.path);
    if (citationHolds(citation, file)) return [];
    const why = file === undefined ? "there is no such file" : "those words do not stand there";
    return [{ met: false, text: `citation ${citation.path}:${citation.line} "${citation.quote}": ${why}` }];
  });
}

/**
 * Whether a task's evidence, once it is there, says by itself that the task is done well: its planner found it easy, it did so at
 * once, and every item names words that must be found.
 */
export function isShownByEvidence(
  task: Pick<Task, "evidence" | "difficulty" | "attempt">,
  wroteFile: boolean,
): boolean {
  const saysWords = (item: Evidence) =>
    "artifact" in item
      ? item.contains !== undefined
      : "note" in item && !["", "true"].includes(item.note.trim().toLowerCase());
  // Words that stand in a file anyway say nothing of this task.
  const isOwn = wroteFile || task.evidence.every((item) => !("artifact" in item));
  return (
    isOwn &&
    task.difficulty === "easy" &&
    task.attempt === 1 &&
    task.evidence.length > 0 &&
    task.evidence.every(saysWords)
  );
}

/** What is known of a whole goal at its end. */
export interface GoalFacts extends WorkspaceFacts {
  /** Tools that were called with success in any task. */
  readonly succeeded: ReadonlySet<string>;
  readonly notes: readonly string[];
  /** Whether any task wrote to any file. */
  readonly wroteFile: boolean;
}

interface CheckedGoal {
  readonly text: string;
  readonly intake: Intake | null;
}

/** Work that came to nothing, and what was done: what it was to leave behind is not forgotten. */
export interface EndedTask {
  readonly key: string;
  readonly text: string;
  readonly outcome: "done" | "nothing";
}

/** What has to be looked up for the check of a goal: most need little. */
export function goalNeeds(
  goal: CheckedGoal,
  answer: string,
): {
  readonly paths: readonly string[];
  readonly writers: boolean;
  readonly notes: boolean;
  readonly tools: boolean;
  readonly reachedOut: boolean;
} {
  const paths = goalPaths(goal, answer);
  const deeds = askedDeeds(goal.text);
  const contract = goal.intake?.evidence ?? [];
  const tools = contract.some((item) => "tool" in item);
  return {
    paths,
    writers: paths.length > 0 || deeds.includes("file") || claimsSomeFile(answer),
    notes: deeds.includes("note") || claimsNote(answer) || contract.some((item) => "note" in item),
    tools,
    reachedOut: tools || deeds.includes("message") || claimedSending(answer) !== null,
  };
}

function goalPaths(goal: CheckedGoal, answer: string): string[] {
  const paths = new Set([
    ...namedFiles(goal.text),
    ...wantedFiles(goal.text).map(({ path }) => path),
    ...askedFiles(goal.intake?.deliverable ?? ""),
    ...findCitations(answer).map((citation) => citation.path),
    ...claimedFiles(answer, true).map((claim) => claim.path),
  ]);
  for (const item of goal.intake?.evidence ?? []) if ("artifact" in item) paths.add(item.artifact);
  return [...paths];
}

/** Whether a goal that is said to be reached is: its own contract, and what its final answer claims. */
export function checkGoal(
  goal: CheckedGoal,
  answer: string,
  facts: GoalFacts,
  tasks: readonly EndedTask[] = [],
): EvidenceCheck {
  const asked = [...new Set([...filesToWrite(goal.text, facts), ...askedFiles(goal.intake?.deliverable ?? "")])];
  const contract: readonly GoalEvidence[] = [
    ...asked.map((artifact) => ({ artifact })),
    ...(goal.intake?.evidence ?? []).filter(
      (item) => !("artifact" in item && !item.contains && asked.includes(item.artifact)),
    ),
  ];
  const holding = findCitations(answer).filter((citation) => citationHolds(citation, facts.lines(citation.path)));
  const unmentioned = expectedFiles(goal.text, true).filter(
    (path) => !asked.includes(path) && facts.lines(path) === undefined && !deniesFile(answer, path),
  );
  return verdictOf([
    ...contract.map((item): EvidenceLine => {
      if ("citations" in item)
        return {
          met: holding.length >= item.citations,
          text: `the final answer has at least ${item.citations} citations that hold (it has ${holding.length})`,
        };
      if ("tool" in item)
        return {
          met: facts.succeeded.has(item.tool) || facts.reachedOut.has(item.tool),
          text: `tool ${item.tool} was called with success`,
        };
      if ("note" in item) return checkNote(item.note, facts.notes);
      // What intake names may be what the goal is about.
      return checkArtifact(item, facts, asked.includes(item.artifact));
    }),
    ...unmentioned.map((path) => ({
      met: false,
      text: `the file ${path}, which the goal names, exists, or the final answer says that it does not`,
    })),
    ...checkDeeds(askedDeeds(goal.text), facts),
    ...checkForgotten(answer, tasks),
    ...checkClaims(answer, facts, { mayWrite: true, points: true }),
  ]);
}

/** A file that a task was to write and did not: another task has, or the answer says that it is missing. */
function checkForgotten(answer: string, tasks: readonly EndedTask[]): EvidenceLine[] {
  return tasks.flatMap((task, index): EvidenceLine[] => {
    if (task.outcome === "done") return [];
    const later = tasks.slice(index + 1).filter((each) => each.outcome === "done");
    return askedFiles(task.text)
      .filter((path) => !later.some((each) => askedFiles(each.text).includes(path)) && !deniesFile(answer, path))
      .map((path) => ({
        met: false,
        text: `what ${task.key} was to write to ${path} (it came to nothing), or the final answer says that it is missing`,
      }));
  });
}

/** For the planner and for people: what is missing. */
export function unmetText(check: EvidenceCheck): string {
  return check.lines
    .filter((line) => !line.met)
    .map((line) => line.text)
    .join("; ");
}
