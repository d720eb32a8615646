/**
 * CPU time of processes by Linux' own count (/proc/PID/stat), in milliseconds.
 *
 * A server of several processes counts whole: the CPU of a child that ended and was waited for is in its parent's `cutime`,
 * that of a living one is its own. A child that ends between the two looks would be missed or counted twice, so the
 * parent is read before and after its children, and all again where it changed.
 */
import { readdirSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";

const msPerTick = 1000 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
const maxLooks = 100;

interface ProcessTimes {
  readonly parent: number;
  readonly ownMs: number;
  /** Of children that ended and were waited for, and of theirs. */
  readonly endedChildrenMs: number;
}

/** undefined where it has ended. */
function timesOf(pid: number): ProcessTimes | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The name may hold spaces and brackets: fields are counted from the last bracket.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = (at: number) => Number(fields[at]);
  return {
    parent: ticks(1),
    ownMs: (ticks(11) + ticks(12)) * msPerTick,
    endedChildrenMs: (ticks(13) + ticks(14)) * msPerTick,
  };
}

function childrenOf(pid: number): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => timesOf(each)?.parent === pid);
}

/** Of a process and all that descends from it, since it started. */
export function cpuMs(pid: number): number {
  for (let look = 1; ; look += 1) {
    const before = timesOf(pid);
    if (before === undefined) throw new Error(`process ${pid} has ended: its CPU time is not known`);
    const children = childrenOf(pid);
    let livingMs = 0;
    let isWhole = true;
    for (const child of children) {
      const times = timesOf(child);
      if (times === undefined) isWhole = false;
      else livingMs += times.ownMs + times.endedChildrenMs;
    }
    const after = timesOf(pid);
    if (isWhole && after !== undefined && after.endedChildrenMs === before.endedChildrenMs)
      return after.ownMs + after.endedChildrenMs + livingMs;
    if (look === maxLooks) throw new Error(`process ${pid}: its children come and go too fast to be counted`);
  }
}

/** What all processors of the machine have worked so far, whoever for. */
export function machineBusyMs(): number {
  const [user, nice, system, , , irq, softirq] = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "")
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number) as [number, number, number, number, number, number, number];
  return (user + nice + system + irq + softirq) * msPerTick;
}

/** The most memory that a process had at any time, in MB. */
export function peakMemoryMb(pid: number): number {
  const kb = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kb === undefined) throw new Error(`process ${pid} has ended: its memory is not known`);
  return Number(kb) / 1024;
}

/** Memory that belongs to a process and its children, in MB: proportional, so that what Postgres' processes share counts once. */
export function memoryMb(pid: number): number {
  const kb = [pid, ...childrenOf(pid)].reduce((sum, each) => sum + pssKb(each), 0);
  return kb / 1024;
}

function pssKb(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
