/**
 * What lessons of earlier goals are worth to a task. A lesson may be wrong, out of date or made to mislead, so it only
 * chooses among what a search of now proposes: it can spare reads, and it cannot add a place or an instruction.
 */
import { synonymsOf } from "./language/index.ts";
import { maxPlaces, readLesson, scopeOfLesson, type Lesson, type Place } from "./lesson.ts";
import type { Prompt } from "./prompt.ts";
import { readQuestion, type Term } from "./question.ts";
import type { ResearchTask } from "./research-task.ts";

export interface Remembered {
  /** In the task's scope; empty where it is remembered that nothing was found. */
  readonly places: readonly Place[];
  /** Only the search with fewer words was of use, or even that was not. */
  readonly isBroad: boolean;
}

/** Questions are of one kind that share at least this much of their words' weight. */
const minLikeness = 0.6;

/** Undefined where no lesson fits. @param scope of the task, as its result says it */
export function rememberedFor(
  prompt: Prompt,
  task: ResearchTask,
  scope: string,
  isWanted: (place: Place) => boolean,
): Remembered | undefined {
  const lessons = prompt
    .all("memory")
    .filter((section) => section.attributes["kind"] === "lesson")
    .flatMap((section) => readLesson(section.body) ?? []);
  const isOwn = (lesson: Lesson) => lesson.scope === scopeOfLesson(scope);
  const own = lessons.filter(isOwn);
  const { criteria } = task;
  const fitting = criteria
    ? own.filter((lesson) => lesson.criteria.some((name) => criteria.includes(name)))
    : likeQuestions(task.question, [...own, ...lessons.filter((lesson) => !isOwn(lesson))]);
  const places = fitting
    .flatMap((lesson) => lesson.fruitful)
    .filter((place) => isWanted(place) && (!criteria || criteria.includes(place.about ?? "")));
  const isBroad = fitting.some((lesson) => isOwn(lesson) && lesson.isBroad);
  return places.length > 0 || isBroad ? { places: distinct(places).slice(0, maxPlaces), isBroad } : undefined;
}

function likeQuestions(question: string, lessons: readonly Lesson[]): readonly Lesson[] {
  const { terms } = readQuestion(question);
  return lessons
    .map((lesson) => ({ lesson, likeness: likenessOf(terms, readQuestion(lesson.question).terms) }))
    .filter(({ likeness }) => likeness >= minLikeness)
    .toSorted((a, b) => b.likeness - a.likeness)
    .map(({ lesson }) => lesson);
}

/** 0–1: Dice's share of what both say in what each says, by the weight of the words. */
export function likenessOf(a: readonly Term[], b: readonly Term[]): number {
  const weightOf = (terms: readonly Term[]) => terms.reduce((sum, term) => sum + term.weight, 0);
  const shared = (of: readonly Term[], other: readonly Term[]) =>
    weightOf(
      of.filter(({ stem }) => {
        const synonyms = new Set(synonymsOf(stem));
        return other.some((term) => term.stem === stem || synonyms.has(term.stem));
      }),
    );
  return (shared(a, b) + shared(b, a)) / Math.max(weightOf(a) + weightOf(b), Number.MIN_VALUE);
}

function distinct(places: readonly Place[]): Place[] {
  const seen = new Set<string>();
  return places.filter(({ path, line, about = "" }) => {
    const key = `${path}:${line} ${about}`;
    return !seen.has(key) && seen.add(key);
  });
}
