/** Operations as a line of a trace, for people. */
import type { CommitReply, SealedWrite } from "@outerloop/core";

export function describe(name: string, args: readonly unknown[], reply: unknown): string {
  if (reply instanceof Error) return `${JSON.stringify(args)} -> ${reply.message}`;
  if (name !== "commitWrites") return `${short(args)} -> ${short(reply)}`;
  const { writes, jobs } = reply as CommitReply;
  const asked = (args[0] as readonly SealedWrite[]).map(({ write }) => {
    const { id, goal, fence, prompts: _p, blobs: _b, events: _e, ...rest } = write;
    return `${id} ${write.task ?? goal} fence ${fence} ${short(rest, 600)} -> ${short(writes.find((each) => each.id === id))}`;
  });
  return `${asked.join("\n      ")}${jobs.length === 0 ? "" : `\n      jobs ${jobs.map((job) => job.job).join(" ")}`}`;
}

const short = (value: unknown, length = 300) => (JSON.stringify(value) ?? "nothing").slice(0, length);
