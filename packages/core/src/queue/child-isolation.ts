/**
 * Runs what may end its process in a child process of its own, under this process's lease and slot.
 *
 * 1. Only the child's own death, after it began and while nobody asked it to go, fails the work.
 * 2. The child commits what it does through the door, by the same fence; a death that comes after its last commit finds
 *    that fence stale and fails nothing.
 * 3. A child never outlives its work: its whole process group ends with it, with a lost claim, and with this process.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describeDeath, expiredClaimsBeforeIsolation, type Death } from "../domain/poison.ts";
import { messageOf } from "../domain/errors.ts";
import { fromChildSchema, type ToChild } from "./isolation-messages.ts";
import { noPlaceMs, released, type Isolation, type IsolationEnd, type IsolationParts } from "./isolation.ts";
import type { ClaimInWork } from "./work-claim.ts";

export interface ChildIsolationOptions {
  /** Children at once; the rest waits in Postgres. */
  readonly maxChildren: number;
  readonly maxHeapMb: number;
  /** Where the child's log lines go: the file descriptor of ours. */
  readonly logTo: 1 | 2;
}

/** Of a child's stderr: V8's page of addresses after "out of memory" has 3,000 characters. */
const keptStderrChars = 16_000;
/** A lost claim's child may end its calls by itself before it is killed; cancelling must be over within 2 s, of which noticing takes half a one. */
const lostGraceMs = 250;
/** What a process group that was killed may still hold of our pipe. */
const lastWordsMs = 500;
/** After a child that could not begin, as when Postgres is away or memory is short. */
const notBegunMs = 5000;

export function createChildIsolation(parts: IsolationParts, options: ChildIsolationOptions): Isolation {
  let children = 0;

  async function runInChild(claim: ClaimInWork, lost: AbortSignal, draining: AbortSignal): Promise<IsolationEnd> {
    const { log } = claim;
    const child = startChild(claim.isolatedMain, options);
    let began = false;
    let ended: { readonly failure: string | null } | undefined;
    let stderr = "";
    child.on("message", (raw) => {
      const message = fromChildSchema.safeParse(raw);
      if (!message.success) return;
      if (message.data.kind === "began") began = true;
      else ended = { failure: message.data.failure };
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-keptStderrChars);
    });
    const tell = (message: ToChild) => {
      // A child that is gone is told nothing; its end says all.
      if (child.connected) child.send(message, () => undefined);
    };
    const drain = () => tell({ kind: "drain" });
    let killing: NodeJS.Timeout | undefined;
    const kill = () => {
      drain();
      killing = setTimeout(() => killGroup(child), lostGraceMs);
    };
    draining.addEventListener("abort", drain, { once: true });
    lost.addEventListener("abort", kill, { once: true });
    try {
      log.info({ event: `${claim.stage}_isolated`, child: child.pid, expiredClaims: claim.expiredClaims });
      tell({ kind: "work", id: claim.id, fence: claim.fence, lease: parts.lease });
      if (lost.aborted) kill();
      else if (draining.aborted) drain();
      const exit = await exitOf(child);
      if (ended !== undefined) return { outcome: ended.failure === null ? "moved" : "failed", failure: ended.failure };
      if (lost.aborted) return { outcome: "stale", failure: null };
      if (draining.aborted) return released;
      if (!began) {
        log.error({ event: "isolation_not_begun", exit, stderr: stderr.slice(-1000) });
        return await postpone(claim, notBegunMs);
      }
      return { outcome: "died", reason: await reasonOf(claim, exit, stderr) };
    } finally {
      clearTimeout(killing);
      draining.removeEventListener("abort", drain);
      lost.removeEventListener("abort", kill);
      killGroup(child);
    }
  }

  /** Not through the door: there a planner's release says that planning went on, and forgets what died. */
  async function postpone(claim: ClaimInWork, ms: number): Promise<IsolationEnd> {
    await parts.store.releaseOwnClaim(parts.lease, claim, ms);
    return released;
  }

  async function reasonOf(claim: ClaimInWork, exit: Death["exit"], stderr: string): Promise<string> {
    // A reason without its last step is better than work that nobody ends.
    const step = await parts.store.lastStep(claim.goal, claim.id, claim.attempt).catch(() => null);
    return describeDeath({ exit, stderr, lastStep: step, diedBefore: claim.expiredClaims });
  }

  return {
    async run(claim, work, lost, draining) {
      if (claim.expiredClaims < expiredClaimsBeforeIsolation) return work(lost);
      if (draining.aborted || children >= options.maxChildren) return postpone(claim, noPlaceMs);
      children += 1;
      let outcome = "faulted";
      try {
        const end = await runInChild(claim, lost, draining);
        outcome = end.outcome;
        return end;
      } finally {
        children -= 1;
        parts.metrics.isolatedRuns.inc({ stage: claim.stage, outcome });
      }
    },
    beforeClaim: async () => () => undefined,
  };
}

function startChild(main: URL, { maxHeapMb, logTo }: ChildIsolationOptions): ChildProcess {
  const flags = process.execArgv.filter((flag) => !/^--(inspect|max-old-space-size)/.test(flag));
  return fork(fileURLToPath(main), [], {
    execArgv: [...flags, `--max-old-space-size=${maxHeapMb}`],
    // A group of its own, so that what its tools started ends with it, and Ctrl-C reaches it through us.
    detached: true,
    stdio: ["ignore", logTo, "pipe", "ipc"],
  });
}

/** Resolves when it has ended and its last words were read. */
async function exitOf(child: ChildProcess): Promise<Death["exit"]> {
  const closed = once(child, "close").catch(() => undefined);
  const exit = await new Promise<Death["exit"]>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal === null ? { code: code ?? 0 } : { signal }));
    // It never started.
    child.once("error", (thrown) => {
      if (child.pid === undefined) resolve({ signal: messageOf(thrown) });
    });
  });
  if (child.pid === undefined) return exit;
  killGroup(child);
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([closed, new Promise((resolve) => (timer = setTimeout(resolve, lastWordsMs)))]);
  clearTimeout(timer);
  return exit;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // Nobody is left in it.
  }
}
