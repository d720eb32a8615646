/** That a goal is watched runs out by itself, where no Redis says it. */
import { openDatabase } from "@outerloop/core";
import { expect, test, vi } from "vitest";
import { isGoalWatched, keepGoalsWatched } from "../../packages/core/src/store/goal-watches.ts";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";

describeWithServers("goals that are watched", () => {
  test("are so for as long as somebody said, and what ran out is swept", async () => {
    const { url } = await cloneDatabase();
    const database = await openDatabase({ kind: "server", url, maxConnections: 4, applicationName: "goal-watches" });
    try {
      const { db } = database;
      expect(await isGoalWatched(db, "g_1")).toBe(false);
      await Promise.all([keepGoalsWatched(db, ["g_1", "g_2"], 60_000), keepGoalsWatched(db, ["g_2", "g_1"], 60_000)]);
      // One who leaves sooner takes nothing from the other.
      await keepGoalsWatched(db, ["g_1", "g_3"], 1);
      await vi.waitFor(async () => expect(await isGoalWatched(db, "g_3")).toBe(false));
      expect([await isGoalWatched(db, "g_1"), await isGoalWatched(db, "g_2")]).toEqual([true, true]);
      await keepGoalsWatched(db, ["g_2"], 60_000);
      const { rows } = await database.pool.query("SELECT goal_id FROM goal_watches ORDER BY 1");
      expect(rows).toEqual([{ goal_id: "g_1" }, { goal_id: "g_2" }]);
    } finally {
      await database.close();
    }
  });
});
