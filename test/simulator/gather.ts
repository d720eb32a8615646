/** Group commit across processes: what is asked for at the same time goes to the store in one batch. */
import type { CommitReply, SealedWrite } from "@outerloop/core";
import type { ModelCalls } from "./model/store.ts";
import type { Weather } from "./network.ts";
import type { Random } from "./random.ts";
import { currentActor, type World } from "./world.ts";

export type Apply = <Reply>(by: string | null, name: string, args: readonly unknown[], run: () => Reply) => Reply;

/** A split commits alone (W1). */
export const mayShareBatch = ({ write }: SealedWrite) => write.task === undefined || write.tasks === undefined;

/** Lets writes of different processes share a batch, as those of one process do: each gets its own part of the reply. */
export function gatherWrites(world: World, calls: ModelCalls, apply: Apply) {
  interface Asked {
    readonly by: string;
    readonly writes: readonly SealedWrite[];
    readonly settle: (answer: () => CommitReply) => void;
  }
  let gathered: Asked[] = [];
  return (
    by: string,
    [writes, waits, cap]: Parameters<ModelCalls["commitWrites"]>,
    random: Random,
    weather: Weather,
    away: () => Error,
  ): Promise<CommitReply> => {
    let answer: (() => CommitReply) | null = null;
    const asked = new Promise<void>((resolve) => {
      world.after(random.int(0, 3), null, () => {
        gathered.push({ by, writes, settle: (given) => ((answer = given), resolve()) });
        if (gathered.length > 1) return;
        world.after(random.int(0, 20), null, () => {
          const batch = gathered;
          gathered = [];
          const all = batch.flatMap((each) => each.writes);
          let reply: CommitReply;
          try {
            const names = batch.map((each) => each.by).join("+");
            reply = apply(names, "commitWrites", [all, waits, cap], () => calls.commitWrites(all, waits, cap));
          } catch (thrown) {
            for (const each of batch)
              each.settle(() => {
                throw thrown;
              });
            return;
          }
          for (const [index, each] of batch.entries())
            each.settle(() => ({
              ...reply,
              writes: reply.writes.filter((write) => each.writes.some((own) => own.write.id === write.id)),
              jobs: index === 0 ? reply.jobs : [],
            }));
        });
      });
    });
    const actor = currentActor();
    return new Promise((resolve, reject) => {
      void asked.then(() => {
        if (random.chance(weather.lostReplies))
          return void world.after(random.int(1, 5000), actor, () => reject(away()));
        world.after(random.int(0, 3), actor, () => {
          try {
            resolve(answer!());
          } catch (thrown) {
            reject(thrown as Error);
          }
        });
      });
    });
  };
}
