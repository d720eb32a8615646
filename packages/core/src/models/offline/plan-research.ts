/** The first tasks for a question: where to look, apart from one another, and the report after them. */
import type { PlannedTask } from "../../domain/plan.ts";
import { criteriaOf, isComparison } from "./criteria.ts";
import { fileKindOf, fileKinds } from "./file-kinds.ts";
import { wordsOf } from "./language/index.ts";
import type { PlanState } from "./plan-state.ts";
import { renderReportTask } from "./execute-report.ts";
import { isInScope, renderResearchTask, type Effort } from "./research-task.ts";

/** Tasks of research: with the report at most 7. */
const maxResearchTasks = 6;
/** Folders by which code and documents are arranged; they are no subjects. */
const structural = new Set(
  "src lib dist build out bin docs doc documentation test tests spec types typings examples example scripts packages services include man etc config conf assets public static website site guide guides api reference changelogs internal cmd pkg vendor node_modules esm cjs .github benchmarks bench data share usr".split(
    " ",
  ),
);

interface Place {
  readonly title: string;
  readonly scope: readonly string[];
}

export function researchTask(state: PlanState, id: string, text: string): PlannedTask {
  return {
    id,
    text,
    depends_on: [],
    tools: ["search_files", "read_file", "write_note"].filter((tool) => state.tools.has(tool)),
    evidence: state.tools.has("write_note") ? [{ note: "" }] : [{ tool: "search_files" }],
    difficulty: "normal",
  };
}

export function planResearch(state: PlanState): PlannedTask[] {
  const question = standalone(state.goal, state.asked);
  const { places, areSubjects } = choosePlaces(state.paths, question, state.fileCount > state.paths.length);
  const criteria = areSubjects && isComparison(question) ? criteriaOf(question) : [];
  const comparing = criteria.length > 0 ? { criteria } : {};
  const efforts = effortsOf(places, state.sizes);
  const research = places.map(({ title, scope }, at) =>
    researchTask(state, `t${at + 1}`, renderResearchTask(title, { question, scope, ...comparing, ...efforts[at] })),
  );
  return state.tools.has("write_file")
    ? [
        ...research,
        planReport(
          state,
          `t${research.length + 1}`,
          research.map((task) => task.id),
          criteria.length > 0,
        ),
      ]
    : research;
}

/**
 * What each of several tasks may cost, so that a goal stays near 150 steps at worst. An attempt is 7 steps besides its
 * searches and reads (4 turns, a table's header, the note, the verdict); a task has two attempts, or one and those of
 * its parts and the rest; the plan and the report are 8.
 */
const effortsByCount: readonly (Effort & { readonly splits: number })[] = [
  { searches: 3, reads: 5, parts: 2, splits: 2 }, // 2 tasks: 15 × 4 each, both split
  { searches: 3, reads: 5, parts: 3, splits: 1 }, // 3: 15 × 5, and 15 + 14 for the others
  { searches: 3, reads: 4, parts: 2, splits: 1 }, // 4: 14 × 4, and 14 + 13
  { searches: 3, reads: 4, parts: 0, splits: 0 }, // 5: 14 + 13 each
  { searches: 2, reads: 3, parts: 0, splits: 0 }, // 6: 12 + 11 each
];

/** Those with the longest documents are the ones that may be split. A task alone needs no bounds but its own. */
function effortsOf(places: readonly Place[], sizes: ReadonlyMap<string, number>): { readonly effort?: Effort }[] {
  const row = effortsByCount[Math.min(places.length, maxResearchTasks) - 2];
  if (row === undefined) return places.map(() => ({}));
  const longest = places.map(({ scope }) =>
    Math.max(0, ...[...sizes].filter(([path]) => isInScope(path, scope)).map(([, bytes]) => bytes)),
  );
  const order = places.map((_, at) => at).toSorted((a, b) => longest[b]! - longest[a]!);
  const split = new Set(order.slice(0, row.splits));
  const { searches, reads, parts } = row;
  return places.map((_, at) => ({ effort: { searches, reads, parts: split.has(at) ? parts : 0 } }));
}

export function planReport(
  state: PlanState,
  id: string,
  dependsOn: readonly string[],
  isCompared: boolean,
): PlannedTask {
  const path = state.paths.includes("report.md") && state.tasks.length === 0 ? "research-report.md" : "report.md";
  return {
    id,
    text: renderReportTask(path, isCompared),
    depends_on: [...dependsOn],
    tools: ["write_file"],
    evidence: [{ artifact: path }],
    difficulty: "normal",
  };
}

/** "And on Windows?" means nothing without what was asked before. */
function standalone(goal: string, asked: readonly string[]): string {
  const before = asked.at(-1);
  const refersBack =
    /^\s*(?:and|but|or|so|what about|how about|then|also)\b|\b(?:it|its|they|them|their|that|those|these|this one|the same)\b/i.test(
      goal,
    );
  return before !== undefined && refersBack ? `${goal} (asked after: ${before.replaceAll(/\s+/g, " ")})` : goal;
}

function choosePlaces(
  paths: readonly string[],
  question: string,
  isListCut: boolean,
): { places: Place[]; areSubjects: boolean } {
  const subjects = subjectFolders(paths);
  if (subjects.length >= 2 && !isListCut) {
    const asked = new Set(wordsOf(question).map((word) => word.stem));
    const named = subjects.filter((folder) =>
      wordsOf(folder.split("/").at(-2) ?? "").every((word) => asked.has(word.stem)),
    );
    const compared = named.length > 0 ? named : subjects;
    const loose = paths.filter((path) => !subjects.some((folder) => path.startsWith(folder)));
    const groups = groupsOf([
      ...compared.map((folder) => [folder]),
      ...(loose.length > 0 && loose.length <= 12 ? [loose] : []),
    ]);
    return {
      places: groups.map((scope) => ({
        title: `Find what ${scope.map(label).join(", ")} says to the question.`,
        scope,
      })),
      areSubjects: compared.length > 1,
    };
  }
  const kinds = fileKinds.filter((kind) => paths.some((path) => fileKindOf(path) === kind));
  if (kinds.length < 2)
    return { places: [{ title: "Find the lines that answer the question.", scope: [] }], areSubjects: false };
  return {
    places: kinds.map((kind) => ({ title: `Find what the ${kind} say to the question.`, scope: [kind] })),
    areSubjects: false,
  };
}

const label = (path: string) => path.split("/").filter(Boolean).at(-1) ?? path;

/** At most `maxResearchTasks`; the last one takes what is over. */
function groupsOf(groups: readonly (readonly string[])[]): string[][] {
  const first = groups.slice(0, maxResearchTasks - 1).map((group) => [...group]);
  const rest = groups.slice(maxResearchTasks - 1).flat();
  return rest.length > 0 ? [...first, rest] : first;
}

/** Folders side by side that hold documents on one subject each, below what all paths share. */
function subjectFolders(paths: readonly string[]): string[] {
  let root = "";
  for (;;) {
    const heads = new Set(paths.map((path) => path.slice(root.length).split("/")));
    const next = new Set([...heads].map(([head, ...rest]) => (rest.length > 0 ? head! : "")));
    if (next.size !== 1 || next.has("")) {
      const folders = [...next].filter((head) => head !== "");
      return folders.some((head) => structural.has(head.toLowerCase())) ? [] : folders.map((head) => `${root}${head}/`);
    }
    root += `${[...next][0]!}/`; // ends: every round goes one folder down, and a file has a last one
  }
}
