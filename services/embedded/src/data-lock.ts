/**
 * One process at a time on an embedded database: two would destroy it. The lock names the process that holds it; one
 * that died, however it died, is recognised and replaced.
 */
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";

const lockSchema = z.object({ pid: z.int(), startedAt: z.string() });

/** Far longer than from reading a lock to moving it. */
const settleMs = 50;

export type DataLock =
  | { readonly kind: "held"; release(): Promise<void> }
  | { readonly kind: "taken"; readonly pid: number };

export async function lockData(dataDir: string): Promise<DataLock> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = join(dataDir, "lock");
  // Ends: each further round has removed a lock whose process is dead.
  for (;;) {
    try {
      const file = await open(path, "wx", 0o600);
      await file.writeFile(JSON.stringify({ pid: process.pid, startedAt: startOf(process.pid) }));
      await file.close();
      // Somebody who read the stale lock before we replaced it may take ours for it.
      await setTimeout(settleMs);
      if (lockSchema.safeParse(parse(await readFile(path, "utf8").catch(() => ""))).data?.pid !== process.pid) continue;
      return { kind: "held", release: () => rm(path, { force: true }) };
    } catch (thrown) {
      if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST")) throw thrown;
    }
    const holder = lockSchema.safeParse(parse(await readFile(path, "utf8").catch(() => "")));
    if (holder.success && startOf(holder.data.pid) === holder.data.startedAt)
      return { kind: "taken", pid: holder.data.pid };
    // Moved aside first: of two that find it stale, one wins.
    const stale = `${path}.${process.pid}`;
    await rename(path, stale).catch(() => undefined);
    await rm(stale, { force: true });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** When a process began, so that a number given out again is not mistaken for it; "" where it does not run. */
function startOf(pid: number): string {
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EPERM")) return "";
  }
  try {
    // Field 22 of proc(5) stat, counted after the command's closing bracket.
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ")[19] ?? "running";
  } catch {
    return "running";
  }
}
