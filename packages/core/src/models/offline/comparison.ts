/** Puts the results of a comparison together: candidates in order of how much is said for the criteria. */
import { distinctFindings, notInDocuments, speaksAgainst, type Finding, type ResearchResult } from "./result.ts";

export interface Candidate {
  readonly name: string;
  readonly found: ReadonlyMap<string, Spoken>;
  /** What speaks for it less what speaks against it, over all criteria. */
  readonly worth: number;
}

/** What documents say to one criterion: lines for and against, best first; both empty where nothing was found. */
export interface Spoken {
  readonly support: readonly Finding[];
  readonly against: readonly Finding[];
}

export function rankCandidates(results: readonly ResearchResult[]): Candidate[] {
  const names = [...new Set(results.map((result) => candidateName(result.scope)))];
  return names
    .map((name): Candidate => {
      const own = results.filter((result) => candidateName(result.scope) === name).flatMap((result) => result.facets);
      const criteria = [...new Set(own.map((facet) => facet.question))];
      const found = new Map(
        criteria.map((each): [string, Spoken] => {
          const findings = distinctFindings(
            own
              .filter((facet) => facet.question === each && facet.isFound)
              .flatMap((facet) => facet.findings)
              .toSorted((a, b) => b.match - a.match),
          );
          return [
            each,
            {
              support: findings.filter((finding) => !finding.speaksAgainst),
              against: findings.filter((finding) => finding.speaksAgainst),
            },
          ];
        }),
      );
      return { name, found, worth: [...found.values()].reduce((sum, spoken) => sum + worthOf(spoken), 0) };
    })
    .toSorted((a, b) => b.worth - a.worth);
}

/** A denial takes away nearly what a line for it gives: it comes after a candidate of which nothing is denied. */
const againstWorth = 0.8;

const worthOf = ({ support, against }: Spoken) => (support[0]?.match ?? 0) - againstWorth * (against[0]?.match ?? 0);

/** `usearch/` and what was split off it, `usearch/README.md lines 1-400`, are one candidate. */
function candidateName(scope: string): string {
  const [first = scope] = scope.split(", ");
  const parts = first
    .replace(/ lines \d+-\d+$| without .*$/, "")
    .split("/")
    .filter(Boolean);
  return (parts.length > 1 && /\.\w+$/.test(parts.at(-1)!) ? parts.at(-2) : parts.at(-1)) ?? scope;
}

/** Candidates whose lines stand in the short answer; the report has all. */
const maxShown = 3;

export function renderComparison(candidates: readonly Candidate[], question: string): string[] {
  const criteria = criteriaIn(candidates);
  const said = (candidate: Candidate, side: keyof Spoken) =>
    criteria.filter((each) => (candidate.found.get(each)?.[side].length ?? 0) > 0);
  const speaking = candidates.filter(
    (candidate) => said(candidate, "support").length > 0 || said(candidate, "against").length > 0,
  );
  if (speaking.length === 0) return [`${notInDocuments}: ${question}`];
  const summary = (candidate: Candidate) =>
    [
      said(candidate, "support").join(", "),
      said(candidate, "against").length > 0 ? `against: ${said(candidate, "against").join(", ")}` : "",
    ]
      .filter(Boolean)
      .join("; ");
  const [best, ...others] = speaking;
  const leads = best!.worth > 0 ? "comes first" : "is spoken of most, but no line speaks plainly for it";
  return [
    `By what the documents say of ${criteria.join(", ")}: ${best!.name} ${leads} (${summary(best!)})${others.length > 0 ? `, then ${others.map((each) => `${each.name} (${summary(each)})`).join(", ")}` : ""}.`,
    "Ranked by the lines that speak for it and against it, not by what they mean: read them.",
    ...speaking.slice(0, maxShown).flatMap((candidate) => candidateLines(candidate, criteria)),
    ...silentLines(candidates),
  ];
}

/** The best line for and the best one against, for each criterion; one that speaks to several is cited once. */
function candidateLines(candidate: Candidate, criteria: readonly string[]): string[] {
  const lines: {
    criteria: string[];
    readonly isAgainst: boolean;
    readonly first: string;
    readonly citations: string;
  }[] = [];
  const shown = new Set<string>();
  for (const criterion of criteria)
    for (const side of ["support", "against"] as const) {
      const best = candidate.found.get(criterion)?.[side][0];
      if (best === undefined) continue;
      const isAgainst = side === "against";
      const same = lines.find((line) => line.isAgainst === isAgainst && line.first === best.citations);
      if (same) same.criteria.push(criterion);
      for (const { citations } of distinctFindings([best], shown))
        lines.push({ criteria: [criterion], isAgainst, first: best.citations, citations });
    }
  return lines.map(
    ({ criteria: named, isAgainst, citations }) =>
      `- ${candidate.name}, ${named.join(", ")}: ${isAgainst ? `${speaksAgainst} ` : ""}${citations}`,
  );
}

const criteriaIn = (candidates: readonly Candidate[]) => [
  ...new Set(candidates.flatMap((candidate) => [...candidate.found.keys()])),
];

const isSilent = ({ support, against }: Spoken) => support.length === 0 && against.length === 0;

/** Which candidates' documents do not speak to which criteria, as list items. */
export function silentLines(candidates: readonly Candidate[]): string[] {
  return criteriaIn(candidates).flatMap((each) => {
    const names = candidates
      .filter((candidate) => isSilent(candidate.found.get(each) ?? { support: [], against: [] }))
      .map((candidate) => candidate.name);
    return names.length > 0
      ? [`- ${each}: nothing found for ${names.length === candidates.length ? "any of them" : names.join(", ")}`]
      : [];
  });
}

export function comparisonSections(candidates: readonly Candidate[]): string[] {
  const criteria = criteriaIn(candidates);
  const spoken = (candidate: Candidate, criterion: string) =>
    candidate.found.get(criterion) ?? { support: [], against: [] };
  const table = [
    `| | ${criteria.join(" | ")} |`,
    `|---|${criteria.map(() => "---|").join("")}`,
    ...candidates.map(
      (candidate) => `| ${candidate.name} | ${criteria.map((each) => counted(spoken(candidate, each))).join(" | ")} |`,
    ),
  ].join("\n");
  const sections = candidates.map((candidate) =>
    [
      `### ${candidate.name}`,
      ...criteria.map((each) => {
        const { support, against } = spoken(candidate, each);
        const lines = [
          ...support.map((finding) => `- ${finding.citations}`),
          ...against.map((finding) => `- ${speaksAgainst} ${finding.citations}`),
        ];
        return `${each}:\n${lines.join("\n") || "- nothing found"}`;
      }),
    ].join("\n\n"),
  );
  return ["## Findings", "Lines found for each criterion:", table, ...sections];
}

function counted({ support, against }: Spoken): string {
  const sides = [
    ...(support.length > 0 ? [String(support.length)] : []),
    ...(against.length > 0 ? [`${against.length} against`] : []),
  ];
  return sides.join(", ") || "–";
}
