/** Questions to a goal's submitter: the goal waits for the answer, and takes the default where none comes in time. */

/** What made the planner ask: the text itself, or a guard on its plans. */
export const questionSubjects = ["intake", "drift", "thrash", "stall"] as const;
export type QuestionSubject = (typeof questionSubjects)[number];

/** An answered question, kept with the goal. */
export interface Clarification {
  readonly about: QuestionSubject;
  readonly question: string;
  readonly answer: string;
  /** null where the default was taken. */
  readonly by: string | null;
  readonly at: string;
}

/** Questions of one goal; whoever needs more should be given another goal. */
export const maxQuestions = 5;
/** Of an answer. */
export const maxAnswerChars = 4000;
