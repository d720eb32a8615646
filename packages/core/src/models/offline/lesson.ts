/**
 * A lesson as one text for people, whose labels a later attempt reads back. It says where and how something was looked
 * up, never what was found: no words of a document stand in it, so nobody can answer from a lesson alone.
 */

/** What is read back. */
export interface Lesson {
  readonly question: string;
  /** Where it was looked for, as `scopeOfLesson` has it. */
  readonly scope: string;
  /** What candidates were compared by; empty where nothing was compared. */
  readonly criteria: readonly string[];
  /** Places that speak to the question, best first. */
  readonly fruitful: readonly Place[];
  /** Only the search with fewer words told: what it found, or that there is nothing. */
  readonly isBroad: boolean;
}

/** What only people and language models make use of. */
export interface Account {
  readonly queries: readonly string[];
  /** Places that were read and said nothing. */
  readonly fruitless: readonly Stretch[];
  /** It looked nothing up itself: it put together what other tasks found. */
  readonly isReport?: true;
}

export interface Place {
  readonly path: string;
  readonly line: number;
  /** The criterion that it speaks to. */
  readonly about?: string;
}

export interface Stretch {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

/** One of these among five memories still leaves a prompt short. */
export const maxLessonChars = 600;
const maxQuestionChars = 160;
const maxQueryChars = 32;
const maxQueries = 2;
/** Reads that a lesson can save are few, and so are the places that are worth naming. */
export const maxPlaces = 4;
const maxStretches = 3;
const maxScopeChars = 120;

export const scopeOfLesson = (scope: string) => clipped(scope, maxScopeChars);

export function renderLesson(lesson: Lesson & Account): string {
  let [places, stretches, queries] = [
    lesson.fruitful.slice(0, maxPlaces),
    lesson.fruitless.slice(0, maxStretches),
    lesson.queries.slice(0, maxQueries),
  ];
  // What helps least goes first. Ends: each round drops one of what there is.
  for (;;) {
    const text = renderWith(lesson, places, stretches, queries);
    if (text.length <= maxLessonChars) return text;
    if (stretches.length > 0) stretches = stretches.slice(0, -1);
    else if (queries.length > 0) queries = queries.slice(0, -1);
    else if (places.length > 0) places = places.slice(0, -1);
    else return text.slice(0, maxLessonChars);
  }
}

const fewerWords = "with fewer words at once";

function renderWith(
  { question, scope, criteria, isBroad, isReport }: Lesson & Account,
  places: readonly Place[],
  stretches: readonly Stretch[],
  queries: readonly string[],
): string {
  const asked = clipped(question, maxQuestionChars);
  const found = places.length > 0;
  const searches =
    queries.length > 0
      ? `searched for ${queries.map((query) => `“${clipped(query, maxQueryChars)}”`).join(", ")}`
      : isReport
        ? "put together what several tasks found"
        : "looked through it";
  const useless = stretches.map(({ path, from, to }) => `\`${path}\` ${from}-${to}`).join(", ");
  const search = isBroad ? `search ${fewerWords}` : "search once";
  return [
    `Situation: find what ${scopeOfLesson(scope)} says to the question “${asked}”${criteria.length > 0 ? `; criteria: ${criteria.join(", ")}` : ""}.`,
    `Tried: ${searches}${useless === "" ? "" : `; of no use was ${useless}`}.`,
    `Outcome: ${outcomeOf(places, criteria, isBroad)}.`,
    `Next time: ${found ? `${search}, then read only around ${placesText(places)}` : `${search}, and leave it at that where it finds nothing`}.`,
  ].join("\n");
}

function outcomeOf(places: readonly Place[], criteria: readonly string[], isBroad: boolean): string {
  const how = isBroad ? ", and only by fewer words" : "";
  if (places.length === 0) return `nothing there speaks to it${isBroad ? ", nor with fewer words" : ""}`;
  const silent = criteria.filter((name) => !places.some((place) => place.about === name));
  return `lines that speak to it were found${how}${silent.length > 0 ? `; nothing for ${silent.join(", ")}` : ""}`;
}

function placesText(places: readonly Place[]): string {
  return [...Map.groupBy(places, ({ path }) => path)]
    .map(
      ([path, own]) =>
        `\`${path}\` ${own.map(({ line, about }) => `line ${line}${about === undefined ? "" : ` (${about})`}`).join(", ")}`,
    )
    .join(", ");
}

const situationPattern = /^Situation: find what (.+?) says to the question “([^”]+)”(?:; criteria: (.+))?\.$/m;
const nextPattern = /^Next time: (.+)$/m;
const placesPattern = /`([^`]+)`((?:,? line \d{1,7}(?: \([^)]*\))?)+)/g;
const linePattern = /line (\d+)(?: \(([^)]*)\))?/g;

/** Undefined for a lesson in other words, as a language model writes them. Says nothing of whether it is true. */
export function readLesson(text: string): Lesson | undefined {
  const [, scope, question, criteria] = situationPattern.exec(text) ?? [];
  const next = nextPattern.exec(text)?.[1];
  if (scope === undefined || question === undefined || next === undefined) return undefined;
  return {
    question,
    scope,
    criteria: criteria?.split(", ") ?? [],
    fruitful: [...next.matchAll(placesPattern)]
      .flatMap(([, path = "", lines = ""]) =>
        [...lines.matchAll(linePattern)].map(([, line, about]): Place => ({
          path,
          line: Number(line),
          ...(about === undefined ? {} : { about }),
        })),
      )
      .slice(0, maxPlaces),
    isBroad: next.includes(fewerWords),
  };
}

/** On one line and without the marks that enclose it. */
function clipped(text: string, maxChars: number): string {
  const plain = text.replaceAll(/[“”]/g, "'").replaceAll(/\s+/g, " ").trim();
  return plain.length <= maxChars ? plain : `${plain.slice(0, maxChars - 1).toWellFormed()}…`;
}
