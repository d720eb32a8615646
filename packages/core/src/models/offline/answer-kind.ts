/** Whether a piece of text looks like an answer of some kind: a figure for "how many", a date for "when". */
import type { AnswerKind } from "./question.ts";

const months =
  "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?";
const numberWords =
  "one|two|three|four|five|six|seven|eight|nine|ten|twelve|hundred|thousand|million|unlimited|infinity|infinite|no limit";

const looks: Readonly<Record<AnswerKind, RegExp>> = {
  figure: new RegExp(`\\d|\\b(?:${numberWords})\\b`, "i"),
  date: new RegExp(`\\b(?:19|20)\\d\\d\\b|\\b(?:${months})\\b[ .,]+\\d|\\d[ .]+(?:${months})\\b`, "i"),
  version:
    /\bv?\d+\.(?:\d+|x)|\bv\d+\b|(?:>=|>|≥|\^|~)\s*v?\d|\b(?:version|node|python|release|php|ruby|java|go|postgresql|node\.js)s?\s+v?\d|\d\s+(?:or|and) (?:above|later|higher|newer)|\d\+/i,
  place:
    /(?:^|[\s'"`(=<])~?\/[\w.-]+|\w\/\w|https?:|\b[\w-]+\.(?:\w{1,5})\b|\b(?:file|directory|folder|memory|disk|database|server|path|current|home)\b/i,
  command:
    /`[^`]+`|^\s*(?:\$|>|#!)|--?\w|[=(){};]|\b[A-Z][A-Z\d]*_[A-Z\d_]+\b|<[\w-]+>|\b\w+\(\)|\b(?:set|use|run|call|pass|add|try|specify|press)\b/i,
  reason:
    /\b(?:because|since|so that|in order to|to avoid|to prevent|to ensure|therefore|due to|reason|otherwise|allows?|instead|as (?:a|an|it|this|the)|purpose|designed)\b/i,
  default: /\bdefaults?\b|\bby default\b|=|\bunless\b|\bif (?:not|omitted|unset)\b|\bInitial/i,
  name: /\b\p{Lu}[\p{L}\d.+-]+|@|`[^`]+`|_[A-Z]/u,
};

/** 0–1: the share of the kinds asked for that the text has; 1 where none is asked for. */
export function kindShare(text: string, kinds: ReadonlySet<AnswerKind>): number {
  if (kinds.size === 0) return 1;
  let met = 0;
  for (const kind of kinds) if (looks[kind].test(text)) met += 1;
  return met / kinds.size;
}

export function looksLike(text: string, kind: AnswerKind): boolean {
  return looks[kind].test(text);
}
