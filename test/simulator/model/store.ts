/**
 * A model of the task store that answers the whole port (packages/core/src/store/store.ts): what the product's SQL does, in a
 * few hundred lines of TypeScript, one operation at one instant. The conformance test holds it equal to the real store.
 */
import type { Store, Write } from "@outerloop/core";
import * as claims from "./claims.ts";
import { commitWrites } from "./commit.ts";
import * as reads from "./reads.ts";
import type { Tables } from "./tables.ts";
import * as upkeep from "./upkeep.ts";
import { fireDueWaits } from "./waits.ts";

/** A call of the port, answered at once. */
export type ModelCalls = {
  readonly [Name in keyof Store]: (...args: Parameters<Store[Name]>) => Awaited<ReturnType<Store[Name]>>;
};

export function createModelCalls(tables: Tables): ModelCalls {
  const on =
    <Args extends unknown[], Result>(call: (tables: Tables, ...args: Args) => Result) =>
    (...args: Args): Result =>
      call(tables, ...args);
  return {
    claimWork: on(claims.claimWork),
    takeUpTask: on(claims.takeUpTask),
    takeUpGoal: on(claims.takeUpGoal),
    currentClaims: on(claims.currentClaims),
    listOwnClaims: on(claims.listOwnClaims),
    releaseOwnClaim: on(claims.releaseOwnClaim),
    releaseOwnClaims: on(claims.releaseOwnClaims),
    renewLease: ({ id }, leaseMs) => claims.renewLease(tables, id, leaseMs),
    leaseLeftMs: on(claims.leaseLeftMs),
    dropLease: on(upkeep.dropLease),
    dropAllLeases: () => tables.leases.clear(),
    dropOldLeases: on(upkeep.dropOldLeases),
    commitWrites: (writes, alone, tenantCap) =>
      commitWrites(
        tables,
        writes.map(({ text }) => JSON.parse(text) as Write),
        alone,
        tenantCap,
      ),
    dispatchDue: on(claims.dispatchDue),
    loadGoal: on(reads.loadGoal),
    listTasks: on(reads.listTasks),
    listDependencies: on(reads.listDependencies),
    listArtifacts: on(reads.listArtifacts),
    readArtifact: on(reads.readArtifact),
    loadTexts: on(reads.loadTexts),
    sessionHistory: on(reads.sessionHistory),
    lastStep: on(reads.lastStep),
    notesOf: on(reads.notesOf),
    listWriters: on(reads.listWriters),
    listReachedOut: on(reads.listReachedOut),
    listSucceeded: on(reads.listSucceeded),
    listNotes: on(reads.listNotes),
    nearestMemories: (_model, queries) =>
      queries.map(({ tenantId, limit }) => reads.newestMemories(tables, tenantId, limit)),
    newestMemories: on(reads.newestMemories),
    loadWaits: on(reads.loadWaits),
    loadEffects: on(reads.loadEffects),
    loadTwins: on(reads.loadTwins),
    findRefusal: on(reads.findRefusal),
    releaseDeadClaims: on(upkeep.releaseDeadClaims),
    wakePlanners: on(upkeep.wakePlanners),
    warnOfWall: on(upkeep.warnOfWall),
    findUnclaimedJobs: on(upkeep.findUnclaimedJobs),
    forgetJobs: on(upkeep.forgetJobs),
    tenantsWithDueWork: on(upkeep.tenantsWithDueWork),
    fireDueWaits: on(fireDueWaits),
    oldestSentMs: on(upkeep.oldestSentMs),
    markLoneRun: (id) => void tables.loneRuns.add(id),
    unmarkLoneRun: (id) => void tables.loneRuns.delete(id),
    takeLoneRun: (id) => tables.loneRuns.delete(id),
  };
}
