/** What a research task says: written by the plan, read by the execution. The text is the only thing that passes. */
import { fileKindOf, fileKinds, type FileKind } from "./file-kinds.ts";

export interface ResearchTask {
  readonly question: string;
  /** Paths or beginnings of paths to look in, or kinds of files; empty for all files. */
  readonly scope: readonly string[];
  /** A document that other tasks read: the rest of a split. */
  readonly except?: string;
  /** What to compare by, where the question asks for a comparison. */
  readonly criteria?: readonly string[];
  /** What it may cost; without it as much as a task alone. */
  readonly effort?: Effort;
  /** Lines to read of one document, where a task was split. */
  readonly lines?: { readonly from: number; readonly to: number };
}

/** What one task may cost, so that all tasks of a goal together stay within its budget of steps. */
export interface Effort {
  /** Reads of one attempt; a second attempt has one less. */
  readonly reads: number;
  readonly searches: number;
  /** Subtasks by lines that it may be split into: 0 where it may not be split. */
  readonly parts: number;
}

/** Of the 10 calls of an attempt: 3 searches, 5 reads, one of a table's header, and the note. */
export const fullEffort: Effort = { searches: 3, reads: 5, parts: 3 };

const scopePattern = /^Look in: (.+)$/m;
const rangePattern = /^Only lines (\d+)-(\d+) of it\.$/m;
const exceptPattern = /^Leave out: `([^`]+)`$/m;
const criteriaPattern = /^Criteria: (.+)$/m;
const effortPattern = /^Effort: (\d+) searches, (\d+) reads, (\d+) parts$/m;
const questionPattern = /^Question: ([\s\S]+)$/m;

export function renderResearchTask(title: string, task: ResearchTask): string {
  const scope = task.scope.map((each) => (isKind(each) ? each : `\`${each}\``)).join(", ");
  return [
    title,
    ...(scope === "" ? [] : [`Look in: ${scope}`]),
    ...(task.except ? [`Leave out: \`${task.except}\``] : []),
    ...(task.lines ? [`Only lines ${task.lines.from}-${task.lines.to} of it.`] : []),
    ...(task.criteria ? [`Criteria: ${task.criteria.join("; ")}`] : []),
    ...(task.effort
      ? [`Effort: ${task.effort.searches} searches, ${task.effort.reads} reads, ${task.effort.parts} parts`]
      : []),
    `Question: ${task.question}`,
  ].join("\n");
}

/** A task that somebody else wrote is a question as it stands. */
export function readResearchTask(text: string): ResearchTask {
  const scopeText = scopePattern.exec(text)?.[1] ?? "";
  const paths = [...scopeText.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
  const kinds = fileKinds.filter((kind) => scopeText.replaceAll(/`[^`]*`/g, "").includes(kind));
  const range = rangePattern.exec(text);
  const except = exceptPattern.exec(text)?.[1];
  const criteria = criteriaPattern.exec(text)?.[1]?.split("; ");
  const effort = effortPattern.exec(text)?.slice(1).map(Number);
  const question = questionPattern.exec(text)?.[1]?.trim() || text.trim();
  return {
    question,
    scope: [...paths, ...kinds],
    ...(except ? { except } : {}),
    ...(criteria ? { criteria } : {}),
    ...(effort ? { effort: { searches: effort[0]!, reads: effort[1]!, parts: effort[2]! } } : {}),
    ...(range ? { lines: { from: Number(range[1]), to: Number(range[2]) } } : {}),
  };
}

export function isInScope(path: string, scope: readonly string[]): boolean {
  return scope.length === 0 || scope.some((each) => (isKind(each) ? fileKindOf(path) === each : path.startsWith(each)));
}

/** Where a task looks, as its result says it. */
export function scopeText(task: ResearchTask): string {
  const scope = task.scope.length > 0 ? task.scope.join(", ") : "all files";
  if (task.except) return `${scope} without ${task.except}`;
  return task.lines ? `${scope} lines ${task.lines.from}-${task.lines.to}` : scope;
}

/** What all paths of a scope begin with: how far a search can be narrowed. */
export function scopePrefix(scope: readonly string[]): string {
  if (scope.length === 0 || scope.some(isKind)) return "";
  let prefix = scope[0]!;
  for (const path of scope) while (!path.startsWith(prefix)) prefix = prefix.slice(0, -1); // ends: every path begins with ""
  return prefix;
}

function isKind(scope: string): scope is FileKind {
  return (fileKinds as readonly string[]).includes(scope);
}
