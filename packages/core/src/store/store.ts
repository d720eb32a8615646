/**
 * The port to the task store: every call that a worker process makes, without the database behind it. Stages, the worker
 * shell and upkeep know the store by this alone, so they run on anything that answers it: Postgres, the embedded database,
 * or the simulator's model (docs/simulator.md). What people reach (ingress) is not part of it.
 *
 * Each name is a function of this folder; what it does, and what guards it, is said there.
 */
import { listArtifacts, readArtifact } from "./artifacts.ts";
import { loadTexts } from "./blobs.ts";
import {
  claimWork,
  dispatchDue,
  listOwnClaims,
  releaseOwnClaim,
  releaseOwnClaims,
  takeUpGoal,
  takeUpTask,
} from "./claims.ts";
import { commitWrites, type DueJob } from "./commit.ts";
import type { Db } from "./database.ts";
import { listNotes, listReachedOut, listSucceeded, listWriters } from "./facts.ts";
import { currentClaims } from "./fences.ts";
import { loadGoal, sessionHistory } from "./goals.ts";
import { lastStep } from "./journal.ts";
import { dropAllLeases, dropLease, dropOldLeases, leaseLeftMs, renewLease } from "./leases.ts";
import { markLoneRun, takeLoneRun, unmarkLoneRun } from "./lone-runs.ts";
import { nearestMemories, newestMemories, notesOf } from "./memories.ts";
import { oldestSentMs } from "./oldest-work.ts";
import {
  findUnclaimedJobs,
  forgetJobs,
  releaseDeadClaims,
  tenantsWithDueWork,
  wakePlanners,
  warnOfWall,
} from "./reconcile.ts";
import { listDependencies, listTasks } from "./tasks.ts";
import { findRefusal, fireDueWaits, loadEffects, loadTwins, loadWaits } from "./waits.ts";

const functions = {
  // Claims (W3), and the leases that they name.
  claimWork,
  takeUpTask,
  takeUpGoal,
  currentClaims,
  listOwnClaims,
  releaseOwnClaim,
  releaseOwnClaims,
  renewLease,
  leaseLeftMs,
  dropLease,
  dropAllLeases,
  dropOldLeases,

  // The one door (W1), and what puts its consequences on queues (W7).
  commitWrites,
  dispatchDue: (db: Db, tenantId: string, cap: number, limit: number) => dispatchDue<DueJob>(db, tenantId, cap, limit),

  // What stages read.
  loadGoal,
  listTasks,
  listDependencies,
  listArtifacts,
  readArtifact,
  loadTexts,
  sessionHistory,
  lastStep,
  notesOf,
  listWriters,
  listReachedOut,
  listSucceeded,
  listNotes,
  nearestMemories,
  newestMemories,
  loadWaits,
  loadEffects,
  loadTwins,
  findRefusal,

  // Upkeep (W8): any process, any number at once.
  releaseDeadClaims,
  wakePlanners,
  warnOfWall,
  findUnclaimedJobs,
  forgetJobs,
  tenantsWithDueWork,
  fireDueWaits,
  oldestSentMs,
  markLoneRun,
  unmarkLoneRun,
  takeLoneRun,
};

type Bound<Fn> = Fn extends (db: Db, ...args: infer Args) => infer Result ? (...args: Args) => Result : never;

export type Store = { readonly [Name in keyof typeof functions]: Bound<(typeof functions)[Name]> };

export const storeCalls = Object.keys(functions) as readonly (keyof Store)[];

/** The store on this database. */
export function createStore(db: Db): Store {
  const bind = (call: (db: Db, ...args: never[]) => unknown) => call.bind(null, db);
  return Object.fromEntries(Object.entries(functions).map(([name, call]) => [name, bind(call)])) as unknown as Store;
}
