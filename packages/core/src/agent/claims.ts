/**
 * What a text asks to be made or sent, and what it claims was, found by rules in its words (DESIGN §6: done only with evidence).
 * A rule that finds too little is backed by the tools' own contract and by what the task asks for; one that finds too much costs
 * a retry. So a claim needs a word that makes, a thing that is made, and nothing that denies, asks or names somebody else.
 */

/** Kinds of files that tasks make. Elsewhere than behind "write to" a name with another ending may be a library or a host. */
const kinds =
  "md|markdown|txt|text|csv|tsv|json|jsonl|ya?ml|toml|ini|xml|html?|css|sql|pdf|docx?|xlsx?|pptx?|rtf|svg|png|jpe?g|gif|log|diff|patch|py|rb|go|rs|java|kt|swift|c|h|cpp|cs|php|sh|ts|tsx|js|jsx|mjs|ipynb|tex|bib|ics|eml|zip";
const segment = "[\\p{L}\\p{N}_.-]+";
const end = "(?![\\w/-]|\\.\\w|:\\d)";
const pathPattern = new RegExp(
  `(?<![\\w./:@-])((?:${segment}/)*[\\p{L}\\p{N}_-][\\p{L}\\p{N}_.-]*\\.(?:${kinds}))${end}`,
  "giu",
);
/** Behind a word that says where to: any ending, and the names of files that have none. */
const targetPattern = new RegExp(
  `(?<=(?:^|[\\s(])(?:to|into|as|nach|als|en|dans|sous|su|come)\\s+(?:(?:the|a|file|called|named)\\s+)*["'\`*(]*)((?:${segment}/)*(?:[\\p{L}\\p{N}_-]+\\.[a-z][a-z0-9]{0,9}|Makefile|Dockerfile|Procfile|Gemfile|Jenkinsfile|README|LICENSE|CHANGELOG|NOTICE|CODEOWNERS))${end}`,
  "gu",
);
/** "Node.js" and its like are no files, and hosts are none. */
const notFiles =
  /^(?:(?:node|next|vue|nuxt|react|three|d3|express|nest|deno|bun|chart|backbone|ember|moment|socket|asp)\.(?:js|ts|net)|[\w-]+\.(?:com|org|net|io|dev|ai|app|co|de|fr|eu|edu|gov|uk))$/i;

/** As the file tools read it. */
const normalised = (path: string) => path.replace(/^(?:\.\/)+/, "");

interface Named {
  readonly path: string;
  /** Where it begins and ends in its sentence. */
  readonly from: number;
  readonly to: number;
}

function pathsIn(sentence: string, patterns: readonly RegExp[]): Named[] {
  const found = new Map<number, Named>();
  for (const pattern of patterns)
    for (const match of sentence.matchAll(pattern)) {
      const path = normalised(match[1]!);
      const from = match.index + match[0].length - match[1]!.length;
      if (!notFiles.test(path) && !found.has(from)) found.set(from, { path, from, to: from + match[1]!.length });
    }
  return [...found.values()].toSorted((a, b) => a.from - b.from);
}

const makes =
  "writ(?:e|es|ing)|sav(?:e|es|ing)|creat(?:e|es|ing)|stor(?:e|es|ing)|put(?:s|ting)?|produc(?:e|es|ing)|generat(?:e|es|ing)|export(?:s|ing)?|record(?:s|ing)?|draft(?:s|ing)?|mak(?:e|es|ing)|deliver(?:s|ing)?|output(?:s|ting)?|schreib\\w*|erstell\\w*|speicher\\w*|escrib\\w*|crea|guarda|écri\\w*|rédige\\w*|crée\\w*|enregistre\\w*|scriv\\w*|salva";
/** What they work on may be read, what stands behind "in" or "to" is changed. */
const changes =
  "append(?:s|ing)?|add(?:s|ing)?|insert(?:s|ing)?|replac(?:e|es|ing)|correct(?:s|ing)?|fix(?:es|ing)?|renam(?:e|es|ing)|updat(?:e|es|ing)|fill(?:s|ing)?|edit(?:s|ing)?|extend(?:s|ing)?|complet(?:e|es|ing)";
/** What they work on is read; only what stands behind "to" is made. */
const transforms =
  "compil(?:e|es|ing)|collect(?:s|ing)?|summari[sz](?:e|es|ing)|translat(?:e|es|ing)|convert(?:s|ing)?";
const anyMaking = `${makes}|${changes}|${transforms}`;
const makingWord = new RegExp(`(?<![\\w-])(${anyMaking})(?![\\w-])`, "giu");
const isChange = new RegExp(`^(?:${changes})$`, "iu");
const isTransform = new RegExp(`^(?:${transforms})$`, "iu");
/** "how one would write": told about, not asked for. Up to a "," or an "and" that begins something else. */
const toldAbout = /\b(?:how|whether|who|why|when|if|would|could|that)\b(?:\s+(?!and\b|then\b)[^\s,;:]+){0,5}\s+$/i;
const refusal = /\b(?:not|never|without|don't|instead of|nicht|ohne)\b/i;

const article =
  "(?:(?:the|a|an|its|our|their|this|that|attached|existing|given|new|file|files|document|table|text|data|named|called)\\s+)*[\"'`*(]*$";
/** A path behind one of these is where something comes from, or what it is about. */
const sourceBefore = new RegExp(
  `(?:^|[\\s(])(?:from|of|for|using|with|against|reading|than|per|see|like|on|about|by|via|under|between|compare|read|check|parse|open|load|search|inspect|review|summari[sz]e|translate|convert|analy[sz]e|examine|verify|contents?)\\s+${article}`,
  "i",
);
const towards = new RegExp(
  `(?:^|[\\s(])(?:to|into|as|called|named|nach|als|namens|en|como|dans|sous|nommé|su|come)\\s+${article}`,
  "i",
);
const within = new RegExp(`(?:^|[\\s(])(?:in|at|unter|fichier|Datei)\\s+${article}`, "i");
/** An object right behind the word that makes: "update report.md". */
const objectBefore = new RegExp(
  `(?<![\\w-])(?:${makes}|${changes})\\s+(?:(?:the|a|an|our|its|new|file|document|report|summary|table|list|called|named)\\s+)*["'\`*(]*$`,
  "iu",
);

const denial =
  /\b(?:not|no|none|nothing|nobody|neither|never|cannot|can't|couldn't|could|didn't|doesn't|don't|isn't|wasn't|won't|without|unable|missing|absent|lacks?|failed|would|should|will|shall|may|might|must|if|unless|to be|instead of|rather than|kein\w*|nicht\w*|nie|fehlt|ohne|sans|pas|aucun|rien|no existe|nada|ningún|falta)\b/i;

/** Of a text that is read for what it says, and of one sentence of it: nobody says more in one breath, and every rule stays linear. */
const maxChars = 200_000;
const maxSentenceChars = 2000;
/** Of what stands before a path: what it is, is said nearby. */
const maxBeforeChars = 240;

/** Of a file: that it is not there, or was not made. */
const absence =
  /\b(?:not|never|cannot|can't|couldn't|didn't|doesn't|don't|isn't|wasn't|nothing|missing|absent|lacks?|unable|failed|kein\w*|nicht\w*|fehlt|pas|aucun|falta|there (?:is|was|are|were) no|no (?:such )?(?:file|existe|["'`]?[\w./-]+\.\w))/i;

/** Sentences, list items and table rows. A dot inside a path or an address ends nothing. */
function sentencesOf(text: string): string[] {
  const sentences = text
    .slice(0, maxChars)
    .replaceAll(/[^\S\n]+/g, " ")
    .split(/(?<=[.!?;]) |\n+/);
  return sentences.flatMap((sentence) => {
    if (sentence.length <= maxSentenceChars) return sentence.trim() === "" ? [] : [sentence];
    const pieces = Math.ceil(sentence.length / maxSentenceChars);
    return Array.from({ length: pieces }, (_, at) =>
      sentence.slice(at * maxSentenceChars, (at + 1) * maxSentenceChars),
    );
  });
}

/** What is denied in one clause says nothing of the next: "I wrote it to a.md, there are no gaps". */
const clauseEnd = /[,;]\s+|\s+(?:but|although|though|since|because)\s+/;

/** Clauses in which something is said, without what they only quote. */
function statementsOf(text: string): string[] {
  const own = text
    .slice(0, maxChars)
    .replaceAll(/"[^"\n]{0,600}"|“[^”\n]{0,600}”/g, (quoted) => (/\s\S+\s/.test(quoted) ? " " : quoted));
  return sentencesOf(own)
    .filter((sentence) => !sentence.trim().endsWith("?"))
    .flatMap((sentence) => sentence.split(clauseEnd))
    .filter((clause) => !denial.test(clause));
}

/** Every file that a text names, in order, once each. */
export function namedFiles(text: string): string[] {
  return [
    ...new Set(sentencesOf(text).flatMap((sentence) => pathsIn(sentence, [pathPattern]).map(({ path }) => path))),
  ];
}

/**
 * Files that a text expects to be there: it does not only ask about them.
 * @param makes only where the sentence has a word that makes
 */
export function expectedFiles(text: string, makes = false): string[] {
  const asksAbout = /\b(?:how|whether|who|why|if|would|could)\b/i;
  const expected = sentencesOf(text)
    .filter((sentence) => !makes || (!sentence.trim().endsWith("?") && sentence.match(makingWord) !== null))
    .flatMap((sentence) =>
      pathsIn(sentence, [pathPattern]).filter(({ from }) => !asksAbout.test(sentence.slice(0, from))),
    );
  return [...new Set(expected.map(({ path }) => path))];
}

/** Whether a text says of a file that it is not there, or not yet. */
export function deniesFile(text: string, path: string): boolean {
  return sentencesOf(text)
    .flatMap((sentence) => sentence.split(clauseEnd))
    .some((clause) => clause.includes(path) && absence.test(clause));
}

/** Files that a text asks to be written: "write the findings to report.md", "create notes/a.txt from b.csv" (not b.csv). */
export function askedFiles(text: string): string[] {
  return wantedFiles(text).flatMap(({ path, how }) => (how === "asked" ? [path] : []));
}

/** As `askedFiles`, and those that may only be read: one that is not there is to be written. */
export function wantedFiles(text: string): { readonly path: string; readonly how: "asked" | "near" }[] {
  const wanted = new Map<string, "asked" | "near">();
  for (const sentence of sentencesOf(text)) {
    let last: { to: number; path: string; how: "asked" | "near" | null } = { to: 0, path: "", how: null };
    for (const { path, from, to } of pathsIn(sentence, [pathPattern, targetPattern])) {
      // "from a.md and b.md": the second is what the first is. "as a.pdf or a.html": either will do, so none is asked for.
      const [, joint] =
        last.to === 0
          ? []
          : (/^["'`*)]*\s*(,|and|or|&|und|oder|y|et|ou|o)+\s*(?:and\s+)?["'`*(]*$/i.exec(
              sentence.slice(last.to, from),
            ) ?? []);
      const isEither = joint !== undefined && /^(?:or|oder|ou|o)$/i.test(joint);
      if (isEither) wanted.delete(last.path);
      const before = sentence.slice(Math.max(0, from - maxBeforeChars), from);
      const how = isEither ? null : joint === undefined ? askedBy(before) : last.how;
      if (how !== null && wanted.get(path) !== "asked") wanted.set(path, how);
      last = { to, path, how };
    }
  }
  return [...wanted].map(([path, how]) => ({ path, how }));
}

/** `near`: only by standing close behind a word that makes, which a file that is read may do too. */
function askedBy(before: string): "asked" | "near" | null {
  if (sourceBefore.test(before) || refusal.test(before)) return null;
  const verb = [...before.matchAll(makingWord)].findLast((match) => !toldAbout.test(before.slice(0, match.index)));
  if (verb === undefined) return null;
  if (isTransform.test(verb[1]!)) return towards.test(before) ? "asked" : null;
  if (towards.test(before) || objectBefore.test(before)) return "asked";
  if (isChange.test(verb[1]!)) return within.test(before) ? "asked" : null;
  // "write a short report (report.md)": few words between.
  const between = before
    .slice(verb.index + verb[0].length)
    .split(/\s+/)
    .filter(Boolean).length;
  return between <= 8 ? "near" : null;
}

/** What else a text asks for, that leaves no file of a known name. */
export type AskedDeed = "file" | "note" | "message";

/** An order, at the beginning of a sentence or of a part of one. */
const order = (verbs: string, rest: string) =>
  new RegExp(`(?:^|[,;:]\\s*|\\b(?:and|then|please|und|y|et)\\s+)(?:please\\s+)?(?:${verbs})\\b${rest}`, "iu");
const orders: readonly (readonly [AskedDeed, RegExp])[] = [
  ["file", order("write|save|put|store|export|record", "[^.;?]{0,80}\\b(?:to|into|in|as)\\s+a\\s+(?:new\\s+)?file\\b")],
  [
    "note",
    order(
      "write|make|keep|take|leave",
      "\\s+(?:down\\s+)?(?:a|the)?\\s*(?:short\\s+|brief\\s+)?notes?\\s+(?:of|about|on|that|what|with|for|which)\\b",
    ),
  ],
  [
    "message",
    order(
      "send|e-?mail|mail|notify|inform|tell|message|write to|sende|schicke|envía|envoie|invia",
      "(?!\\s+(?:me|us|yourself|which|what|how)\\b)[^;?]{0,200}?(?:\\b(?:e-?mails?|mails?|message|newsletter|invitation|invoice|letter|correo|courriel|nachricht)\\b|[\\w.+-]+@[\\w-]+\\.\\w)",
    ),
  ],
];

export function askedDeeds(text: string): AskedDeed[] {
  const sentences = sentencesOf(text).filter((sentence) => !refusal.test(sentence));
  const isNamed = askedFiles(text).length > 0;
  return orders.flatMap(([deed, pattern]) =>
    // A note, or a file, that has a name is that file.
    (deed === "message" || !isNamed) && sentences.some((sentence) => pattern.test(sentence)) ? [deed] : [],
  );
}

const english =
  "wrote|written|saved|created|stored|generated|produced|exported|appended|recorded|drafted|updated|edited|added|put|placed|prepared|compiled|delivered";
const german = "geschrieben|erstellt|gespeichert|angelegt|abgelegt|ergänzt";
const romance = "escrito|creado|guardado|añadido|écrit|créé|enregistré|rédigé|ajouté|scritto|creato|salvato|aggiunto";
/** Of what others did to their own files "updated", "edited" and "added" are said: a release is updated, a page is edited. */
const madeHere = `wrote|written|saved|created|stored|generated|produced|exported|appended|recorded|drafted|placed|prepared|compiled|delivered|${german}|${romance}`;
const adverbs = "(?:\\s+(?:now|just|also|already|then|successfully|carefully|duly|fully|been))*";
/** "I have written", "ich habe den Bericht geschrieben", "he escrito": by the languages' own order of words. */
const mine = (english: string, german: string, romance: string) =>
  new RegExp(
    `(?<![\\w])(?:(?:I|we)(?:['’]ve|\\s+have)?${adverbs}\\s+(?:${english})|(?:ich|wir)\\s+(?:habe|haben)\\s[^!?\\n]{0,80}(?:${german})|(?:he|hemos|j'ai|nous avons|ho|abbiamo)\\s+(?:\\S+\\s+){0,2}(?:${romance}))(?![\\w])`,
    "iu",
  );
const byMe = mine(english, german, romance);
const somehowMade = new RegExp(`(?<![\\w-])(?:${madeHere})(?![\\w-])`, "iu");
/** "the installer has created", "the build wrote", "was written by the author". */
const bySomebodyElse = new RegExp(
  `\\b(?:he|she|they|it|who|which|(?:the|a|an|its|their|your|our)\\s+\\w+)\\s+(?:(?:has|have|had)\\s+)?(?:${madeHere})\\s|\\b(?:${madeHere})\\s+(?:[^.\\n]{0,40}\\s)?(?:by|at)\\s+(?:the|its|their)\\b|\\bits\\s`,
  "iu",
);
/** What a goal leaves behind, said to be in a file: "the comparison is in comparison.md". */
const pointing = new RegExp(
  `(?:comparison|report|summary|results?|findings|analysis|table|list|figures|answer|document|output|overview|draft|recommendation|bericht|vergleich|ergebnis\\w*|informe|rapport|résumé)\\b[^.!?\\n]{0,60}\\b(?:in|at|under|as|see|→)\\s+["'\`*(]*$`,
  "iu",
);
/** A line or a cell that holds nothing else. */
const alone = (sentence: string, { from, to }: Named) =>
  /(?:^|\|)[\s"'`*•-]*$/.test(sentence.slice(0, from)) && /^["'`*.\s]*(?:$|\|)/.test(sentence.slice(to));

export interface FileClaim {
  readonly path: string;
  /** Whether the text says "I did", or only that it was done or is there. */
  readonly byMe: boolean;
}

/**
 * Files that a text claims were made.
 * @param points whether a text that only says where to find something claims it
 */
export function claimedFiles(text: string, points = false): FileClaim[] {
  const claims = new Map<string, FileClaim>();
  for (const sentence of statementsOf(text)) {
    const isMine = byMe.test(sentence);
    const isMade = isMine || (somehowMade.test(sentence) && !bySomebodyElse.test(sentence));
    for (const named of pathsIn(sentence, isMade ? [pathPattern, targetPattern] : [pathPattern])) {
      const isPointed =
        points &&
        (pointing.test(sentence.slice(Math.max(0, named.from - maxBeforeChars), named.from)) || alone(sentence, named));
      if (
        !isPointed &&
        (!isMade || sourceBefore.test(sentence.slice(Math.max(0, named.from - maxBeforeChars), named.from)))
      )
        continue;
      const before = claims.get(named.path);
      claims.set(named.path, { path: named.path, byMe: isMine || before?.byMe === true });
    }
  }
  return [...claims.values()];
}

const savedSomewhere =
  /(?<![\w-])(?:wrote|written|saved|stored|exported|put)\b[^.!?\n]{0,80}\b(?:to|in|into|as)\s+(?:a|the)\s+(?:new\s+)?(?:file|workspace)\b/i;

/** "The report has been saved to the workspace", whatever its name. */
export function claimsSomeFile(text: string): boolean {
  return statementsOf(text).some((clause) => savedSomewhere.test(clause) && !bySomebodyElse.test(clause));
}

const noteByMe =
  /(?<![\w])(?:I|we)(?:['’]ve|\s+have)?(?:\s+(?:now|just|also))*\s+(?:made|written|wrote|kept|taken|took|left|added)\s+(?:a|the)\s+(?:short\s+)?note\b/iu;

export function claimsNote(text: string): boolean {
  return statementsOf(text).some((sentence) => noteByMe.test(sentence));
}

const sent = "sent|e-?mailed|mailed|published|deployed|messaged|notified|uploaded";
const gesendet = "gesendet|geschickt|verschickt|versendet";
const enviado = "enviado|mandado|envoyé|inviato";
const message =
  "e-?mails?|mails?|messages?|newsletters?|invitations?|payments?|invoices?|tickets?|announcements?|nachricht|correo|mensaje|courriel|messaggio";
const sentByMe = mine(sent, gesendet, enviado);
const wasSent = new RegExp(
  `(?<![\\w])(?:${message})(?![\\w])[^!?\\n]{0,80}\\b(?:was|were|has been|have been|wurde|wurden|ha sido|a été|è stat\\w)(?:\\s+\\S+){0,3}\\s+(?:${sent}|${gesendet}|${enviado})(?![\\w])`,
  "iu",
);
const wasTold = new RegExp(
  `\\b(?:has|have) been (?:informed|notified|told|contacted|invited)\\b[^!?\\n]{0,40}\\b(?:${message})(?![\\w])`,
  "iu",
);

/** The sentence by which a text claims that something reached out; null where none does. */
export function claimedSending(text: string): string | null {
  const isClaim = (sentence: string) => sentByMe.test(sentence) || wasSent.test(sentence) || wasTold.test(sentence);
  return statementsOf(text).find(isClaim) ?? null;
}
