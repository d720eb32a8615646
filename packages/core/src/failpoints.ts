/**
 * Places where a process can be made to die, one at every edge between two effects: after the first has happened and
 * before the second. So a test dies exactly there and not somewhere near. Off unless OUTERLOOP_FAILPOINT names one.
 */
export const failpointNames = [
  /** Ingress: the goal stands, its job is not sent and nobody is answered. */
  "submit.committed",
  "submit.dispatched",
  /** The door: what was written stands, the jobs that follow are not on their queues, the worker does not know. */
  "commit.applied",
  "commit.dispatched",
  "dispatch.marked",
  /** A worker has a job in its hands, its work is not claimed. */
  "job.fetched",
  "plan.claimed",
  /** A model has answered, and was paid; the answer is nowhere but in this process. */
  "plan.answered",
  "plan.committed",
  "execute.claimed",
  "execute.answered",
  "execute.committed",
  /** A tool has returned, its result is not journaled. */
  "tool.ran",
  /** The intent of an external call is journaled, nothing was sent. */
  "effect.intended",
  /** It was sent, its result is not journaled. */
  "effect.sent",
  "effect.journaled",
  "wait.requested",
  "wait.committed",
  /** Waits have ended, their tasks are not on their queues. */
  "wait.fired",
  "reflect.claimed",
  "reflect.answered",
  "reflect.committed",
  "reconcile.released",
  "reconcile.forgot",
  /** Due work is marked as sent, its jobs are not on their queues. */
  "reconcile.dispatched",
  "decision.committed",
  "signal.committed",
] as const;

export type FailpointName = (typeof failpointNames)[number];

export interface Failpoint {
  readonly name: FailpointName;
  /** At which pass through it, counted from 1. */
  readonly hit: number;
  /** `SIGSTOP`: it stays there until somebody continues it. */
  readonly signal: "SIGKILL" | "SIGSTOP";
}

/** `NAME`, `NAME:N` or `NAME:N:stop`; undefined for anything else. */
export function parseFailpoint(text: string): Failpoint | undefined {
  const parsed = /^([a-z.]+)(?::([1-9]\d{0,8})(:stop)?)?$/.exec(text);
  const name = failpointNames.find((each) => each === parsed?.[1]);
  if (parsed === null || name === undefined) return undefined;
  return { name, hit: Number(parsed[2] ?? 1), signal: parsed[3] === undefined ? "SIGKILL" : "SIGSTOP" };
}

// The one state of a module here: what would hand it down to every place would be in every signature, for tests alone.
let armed: Failpoint | null = null;
let passes = 0;
let lastWords: () => void = () => undefined;

/**
 * Once, at the start of the process.
 *
 * @param beforeEnd writes what was logged before: that a line is missing must not depend on where in a turn of the event
 *   loop its process ended
 */
export function armFailpoint(failpoint: Failpoint | null, beforeEnd: () => void = () => undefined): void {
  armed = failpoint;
  passes = 0;
  lastWords = beforeEnd;
}

/** Ends or stops the process if this is the armed one and its pass. */
export function failpoint(name: FailpointName): void {
  if (armed === null || armed.name !== name) return;
  passes += 1;
  if (passes !== armed.hit) return;
  lastWords();
  // A signal that no process can catch: nothing else is written, closed or handed back.
  process.kill(process.pid, armed.signal);
}
