/** A line that only introduces its answer takes the answer with it: the text under a heading, the value under a comment. */
import { kindShare } from "./answer-kind.ts";
import { answerAfter, introduces, type Match } from "./match.ts";
import type { Unit } from "./passages.ts";
import type { Question } from "./question.ts";

/** Lines of a finding in all. */
const maxLines = 7;

/** The units to cite for a match, in order. @param units of its excerpt */
export function withAnswer(match: Match, units: readonly Unit[], question: Question): Unit[] {
  const { unit } = match;
  const at = units.indexOf(unit);
  const next = answerAfter(units, at);
  if (next === undefined || next.to - unit.from >= maxLines) return [unit];
  const isComment = /^\s*(?:#|\/\/|;|\/?\*)/.test(unit.text);
  const isAnswered = question.kinds.size === 0 || kindShare(unit.text, question.kinds) === 1;
  const answersBetter = kindShare(next.text, question.kinds) > kindShare(unit.text, question.kinds);
  if (introduces(unit) || isComment || (!isAnswered && answersBetter && next.from - unit.to <= 1)) return [unit, next];
  return [unit];
}
