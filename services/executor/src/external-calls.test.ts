import { expect, test } from "vitest";
import type { Registry } from "@outerloop/skills";
import type { ClaimedTask, Effect, StageRuntime, TaskChange, Wait } from "@outerloop/core";
import { createExternalCalls, type ExternalCall } from "./external-calls.ts";
import type { ToolCalls } from "./tool-calls.ts";

const call: ExternalCall = {
  pending: { seq: 2, call: { id: "c1", name: "mail", args: {} }, refused: false, note: "" },
  key: "key",
  occurrence: 1,
};
/** What the other task had under way did not happen after all. */
const failed = { key: "key", sendKey: "key", status: "failed", args: {}, turn: 1, elsewhere: false } as Effect;

function advance(wait: Partial<Wait>, commits: TaskChange[]) {
  const runtime = {
    config: { policy: { autoApprove: new Set(), version: "v", deadlineMs: 1000, onDeadline: "reject" } },
    createId: () => "a_1",
    store: {
      loadEffects: async () => new Map([["key", failed]]),
      loadTwins: async () => new Map(),
      findRefusal: async () => null,
    },
  } as unknown as StageRuntime;
  const claim = { task: { id: "t_1", goalId: "g_1", rootId: "t_1", attempt: 1, key: "t1" } } as unknown as ClaimedTask;
  const registry = {
    get: () => ({ effect: "external", version: "1" }),
    deduplicates: () => false,
  } as unknown as Registry;
  const external = createExternalCalls(runtime, registry, claim, {} as ToolCalls, {
    reserved: () => 1,
    stands: () => true,
    commit: async (change) => {
      commits.push(change);
      const held = { steps: 1, tokens: 0, microUsd: 0, money: false };
      return { outcome: "won", goalStatus: "running", spent: null, held };
    },
  });
  const waits = { wakes: 1, bySeq: new Map([[2, wait as Wait]]) };
  return external.advance([call], waits, 1, async () => true);
}

test("a call that waits for another task's is put to nobody before that wait is over", async () => {
  const commits: TaskChange[] = [];
  const round = await advance({ kind: "timer", resolution: null }, commits);
  expect(round.kind).toBe("idle");
  // A second open wait of one call is refused by the store.
  expect(commits).toEqual([]);
});

test("when that wait is over and the other's call did not happen, a person is asked", async () => {
  const commits: TaskChange[] = [];
  const round = await advance({ kind: "timer", resolution: { by: "deadline" } }, commits);
  expect(round.kind).toBe("moved");
  expect(commits).toMatchObject([{ waits: [{ seq: 2, kind: "approval" }] }]);
});
