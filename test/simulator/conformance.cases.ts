/** The model is the real store: run by `conformance.test.ts` on whichever database. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensurePartitions, migrate, type Database } from "@outerloop/core";
import { createFollower, emptyStore, takeOverClock } from "./real-store.ts";
import { simulate, type Recorded } from "./simulation.ts";
import type { Tables } from "./model/tables.ts";

export function conformanceCases(name: string, seeds: readonly number[], open: () => Promise<Database>): void {
  describe(`the model of the store and ${name}`, () => {
    let database: Database;
    beforeAll(async () => {
      database = await open();
      await migrate(database.db);
      await ensurePartitions(database.db);
      await takeOverClock(database.db);
    }, 120_000);
    afterAll(() => database?.close());

    test.for(seeds)("give the same answers and the same rows, seed %i", { timeout: 600_000 }, async (seed) => {
      await emptyStore(database.db);
      const follower = createFollower(database.db);
      let followed = 0;
      const result = await simulate({
        seed,
        singleSession: true,
        async follow(recorded: Recorded, tables: Tables) {
          const difference = await follower.follow(recorded, tables);
          followed += 1;
          if (difference === null) return;
          throw new Error(
            `${difference.what} is ${JSON.stringify(difference.model)} in the model and ${JSON.stringify(difference.real)} in ${name}, after operation ${followed}: ${JSON.stringify(recorded.call).slice(0, 2000)}`,
          );
        },
      });
      expect(result.violation).toBeNull();
      expect(followed).toBeGreaterThan(10);
    });
  });
}
