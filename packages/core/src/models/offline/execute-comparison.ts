/** For one candidate of a comparison: the lines that speak to each criterion. */
import { introduces } from "./match.ts";
import { contentWorth } from "./content-worth.ts";
import { criterionOf, type Speech } from "./criteria.ts";
import { fileKindOf } from "./file-kinds.ts";
import { findingOf } from "./findings.ts";
import { unitsOf, type Excerpt, type Unit } from "./passages.ts";
import { distinctFindings, type FacetResult } from "./result.ts";

/** Findings for one criterion of one candidate, and the least of the best one's score that others have. */
const maxFindings = 3;
const keptShare = 0.5;

export function judgeCriterion(name: string, excerpts: readonly Excerpt[]): FacetResult {
  const criterion = criterionOf(name);
  const scored = excerpts
    .flatMap((excerpt) =>
      unitsOf(excerpt).flatMap((unit) => {
        const speech = criterion.judge(unit.text);
        if (speech === undefined || unit.isHeading || introduces(unit)) return [];
        return [{ excerpt, unit, speech, score: scoreOf(unit, speech) }];
      }),
    )
    .filter(({ score }) => score >= leastScore)
    .toSorted((a, b) => b.score - a.score);
  const findings = scored
    .filter(({ score }) => score >= scored[0]!.score * keptShare)
    .flatMap(({ excerpt, unit, score, speech }) => {
      const telling = (piece: string) => (criterion.judge(piece) === undefined ? 0 : 1);
      const finding = findingOf([withoutTags(unit, excerpt, telling)], excerpt, Math.min(score, 1), [name], telling);
      return finding ? [{ ...finding, ...(speech.isAgainst ? { speaksAgainst: true } : {}) }] : [];
    });
  return {
    question: name,
    isFound: findings.length > 0,
    findings: distinctFindings(findings).slice(0, maxFindings),
    unknownWords: [],
  };
}

/** Lines of tags make no sentence: the one that tells stands alone. */
function withoutTags(unit: Unit, excerpt: Excerpt, telling: (line: string) => number): Unit {
  if (!/<\w[^>]*>/.test(unit.text)) return unit;
  for (let line = unit.from; line <= unit.to; line += 1) {
    const text = excerpt.lines[line - excerpt.from] ?? "";
    if (telling(text) > 0) return { ...unit, from: line, to: line, text };
  }
  return unit;
}

function scoreOf(unit: Unit, { strength, isAgainst }: Speech): number {
  const worth = contentWorth(unit.text);
  return (
    (strength === 1 ? plainFloor + (1 - plainFloor) * worth : worth) *
    (strengthFloor + (1 - strengthFloor) * strength) *
    (isAgainst ? againstWorth : 1) *
    (boldLead.test(unit.text) ? boldWorth : 1) *
    (fileKindOf(unit.path) === "change histories" ? historyWorth : 1)
  );
}

/** What speaks against a candidate is worth more to know, and so is what a paragraph says in bold before all else. */
const againstWorth = 1.3;
const boldLead = /^[>\s*-]*(?:\[!\w+\][>\s]*)?\*\*[^*]{12,}\*\*/;
const boldWorth = 1.3;
/** What once changed says less of what is. */
const historyWorth = 0.75;
/** What a telling phrase is worth in a line that is no sentence: a title, a row of a table. */
const plainFloor = 0.6;
/** What a statement keeps that only touches on the criterion. */
const strengthFloor = 0.2;
/** Below this nothing firm was said. */
const leastScore = 0.28;
