/**
 * What a text asks to be made, and what it claims to have made, found by rules in its words (DESIGN §6: done only with evidence).
 * A rule that finds too little is backed by the tools' own contract; one that finds too much costs a retry, so each needs a
 * word that makes, a path, and nothing that denies.
 */

/** Kinds of files that tasks make. A name with another ending may be a library, a host or the end of a sentence. */
const kinds =
  "md|markdown|txt|text|csv|tsv|json|jsonl|ya?ml|toml|ini|xml|html?|css|sql|pdf|docx?|xlsx?|pptx?|rtf|svg|png|jpe?g|gif|log|diff|patch|py|rb|go|rs|java|kt|swift|c|h|cpp|cs|php|sh|ts|tsx|js|jsx|mjs|ipynb|tex|bib|ics|eml|zip";
const pathPattern = new RegExp(
  `(?<![\\w./:@-])((?:[\\p{L}\\p{N}_.-]+/)*[\\p{L}\\p{N}_-][\\p{L}\\p{N}_.-]*\\.(?:${kinds}))(?![\\w/-]|\\.\\w|:\\d)`,
  "giu",
);

/** "Node.js" and its like are no files. */
const notFiles =
  /^(?:node|next|vue|nuxt|react|three|d3|express|nest|deno|bun|chart|backbone|ember|moment|socket|asp)\.(?:js|ts)$/i;

const making =
  "writ(?:e|es|ing)|sav(?:e|es|ing)|creat(?:e|es|ing)|stor(?:e|es|ing)|put(?:s|ting)?|produc(?:e|es|ing)|generat(?:e|es|ing)|append(?:s|ing)?|add(?:s|ing)?|export(?:s|ing)?|record(?:s|ing)?|draft(?:s|ing)?|updat(?:e|es|ing)|fill(?:s|ing)?|mak(?:e|es|ing)|deliver(?:s|ing)?|edit(?:s|ing)?|output(?:s|ting)?|compil(?:e|es|ing)|collect(?:s|ing)?|summari[sz](?:e|es|ing)|translat(?:e|es|ing)|convert(?:s|ing)?|extend(?:s|ing)?|complet(?:e|es|ing)|schreib\\w*|erstell\\w*|speicher\\w*|escrib\\w*|crea|guarda|écri\\w*|crée\\w*|enregistre\\w*|scriv\\w*|salva";
/** A word that makes, in the same clause before the path. */
const makingBefore = new RegExp(
  `(?<![\\w-])(?:${making})(?![\\w-])(?![^]*(?<![\\w-])(?:then|and then)(?![\\w-]))`,
  "iu",
);
/** A path behind one of these is where something comes from, or what it is about. */
const sourceBefore =
  /(?:^|[\s(])(?:from|of|using|with|against|reading|than|per|see|like|on|about|by|via|under|between|compare|read|check|parse|open|load|search|inspect|review|summari[sz]e|translate|convert|analy[sz]e|examine|verify|contents?)\s+(?:(?:the|a|an|its|our|their|this|that|attached|existing|given|file|files|document|table|text|data|named|called)\s+)*["'`(]*$/i;
/** With these words only a path behind "to", "into" or "as" is made: what comes first is read. */
const transforms = /^(?:summari|translat|convert|compil|collect|complet|fill|edit|extend|updat|add|append|put)/i;
const targetBefore =
  /(?:^|[\s(])(?:to|into|in|as|at|called|named|nach|als|unter|namens|en|como|dans|sous|nommé|su|come)\s+(?:(?:the|a|an|its|our|file|new|document)\s+)*["'`(]*$/i;
/** An object right behind the word that makes: "update report.md". */
const objectBefore = new RegExp(
  `(?<![\\w-])(?:${making})\\s+(?:(?:the|a|an|our|its|new|file|document|report|summary|table|list|called|named)\\s+)*["'\`(]*$`,
  "iu",
);

const refusal = /\b(?:not|never|without|don't|instead of|nicht|ohne)\b/i;
const denial =
  /\b(?:not|no|never|cannot|can't|couldn't|could|didn't|doesn't|don't|isn't|wasn't|won't|without|unable|missing|absent|lacks?|failed|would|should|will|shall|may|might|must|if|unless|to be|instead of|rather than|kein\w*|nicht|nie|fehlt|ohne|sans|pas|aucun|no existe|ningún|falta)\b/i;

/** Sentences, list items and table rows. A dot inside a path ends nothing. */
function sentencesOf(text: string): string[] {
  return text.split(/(?<=[.!?;])\s+|\n+/).filter((sentence) => sentence.trim() !== "");
}

/** Every file that a text names, in order, once each. */
export function namedFiles(text: string): string[] {
  return [...new Set([...text.matchAll(pathPattern)].map((match) => match[1]!).filter((path) => !notFiles.test(path)))];
}

/** Whether a text says of a file that it is not there, or not yet. */
export function deniesFile(text: string, path: string): boolean {
  return sentencesOf(text).some((sentence) => namedFiles(sentence).includes(path) && denial.test(sentence));
}

/** Files that a text asks to be written: "write the findings to report.md", "create notes/a.txt from b.csv" (not b.csv). */
export function askedFiles(text: string): string[] {
  const asked = new Set<string>();
  for (const sentence of sentencesOf(text)) {
    let last = { end: 0, isAsked: false };
    for (const match of sentence.matchAll(pathPattern)) {
      const path = match[1]!;
      const before = sentence.slice(0, match.index);
      // "from a.md and b.md": the second is what the first is.
      const isNext =
        last.end > 0 &&
        /^["'`)]*\s*(?:,|and|or|&|und|y|et)+\s*(?:and\s+)?["'`(]*$/i.test(sentence.slice(last.end, match.index));
      const isAsked = !notFiles.test(path) && (isNext ? last.isAsked : isAskedFor(before));
      if (isAsked) asked.add(path);
      last = { end: match.index + path.length, isAsked };
    }
  }
  return [...asked];
}

function isAskedFor(before: string): boolean {
  const verb = makingBefore.exec(before)?.[0];
  if (verb === undefined || sourceBefore.test(before) || refusal.test(before)) return false;
  const isTarget = targetBefore.test(before) || objectBefore.test(before);
  return isTarget || (!transforms.test(verb) && isNear(before, verb));
}

/** "write a short report (report.md)": few words between. */
function isNear(before: string, verb: string): boolean {
  const between = before.slice(before.toLowerCase().lastIndexOf(verb.toLowerCase()) + verb.length);
  return between.split(/\s+/).filter(Boolean).length <= 8;
}

const made =
  "wrote|written|saved|created|stored|generated|produced|exported|appended|recorded|drafted|updated|edited|added|put|placed|prepared|compiled|delivered|geschrieben|erstellt|gespeichert|angelegt|escrito|creado|guardado|écrit|créé|enregistré|scritto|salvato|escrevi|salvo";
/** Of what others did to their own files these are not said: a release is updated, a page is edited. */
const madeHere =
  "wrote|written|saved|created|stored|generated|produced|exported|appended|recorded|drafted|placed|prepared|compiled|delivered|geschrieben|erstellt|gespeichert|angelegt|escrito|creado|guardado|écrit|créé|enregistré|scritto|salvato";
const byMe = new RegExp(
  `(?<![\\w])(?:I|we|ich|wir|he|hemos|j'ai|nous avons|ho)(?:['’]ve|\\s+(?:have|habe|haben))?(?:\\s+(?:now|just|also|already|then|successfully|have|been))*\\s+(?:[^.!?\\n]{0,60}\\s)?(?:${made})(?![\\w])`,
  "iu",
);
const somehowMade = new RegExp(`(?<![\\w-])(?:${madeHere})(?![\\w-])`, "iu");

export interface FileClaim {
  readonly path: string;
  /** Whether the text says "I did", or only that it was done. */
  readonly byMe: boolean;
}

/** Files that a text claims were made. */
export function claimedFiles(text: string): FileClaim[] {
  const claims = new Map<string, FileClaim>();
  for (const sentence of sentencesOf(text)) {
    const isMine = byMe.test(sentence);
    if (!isMine && !somehowMade.test(sentence)) continue;
    if (denial.test(sentence)) continue;
    for (const path of namedFiles(sentence)) {
      const before = claims.get(path);
      claims.set(path, { path, byMe: isMine || before?.byMe === true });
    }
  }
  return [...claims.values()];
}

const sending =
  "sent|e-?mailed|mailed|posted|published|deployed|paid|ordered|messaged|notified|uploaded|submitted|booked|purchased|deleted";
const sentByMe = new RegExp(
  `(?<![\\w])(?:I|we)(?:['’]ve|\\s+have)?(?:\\s+(?:now|just|also|already|then|successfully))*\\s+(?:${sending})(?![\\w])`,
  "i",
);
const wasSent = new RegExp(
  `(?<![\\w])(?:e-?mails?|mails?|messages?|newsletters?|invitations?|payments?|invoices?|tickets?|announcements?)\\b[^.!?\\n]{0,60}\\b(?:was|were|has been|have been)(?:\\s+(?:now|successfully|already))*\\s+(?:${sending})(?![\\w])`,
  "i",
);

/** The sentence by which a text claims that something reached out; null where none does. */
export function claimedSending(text: string): string | null {
  return (
    sentencesOf(text).find(
      (sentence) => (sentByMe.test(sentence) || wasSent.test(sentence)) && !denial.test(sentence),
    ) ?? null
  );
}
