/** This product as it was: a checkout of an earlier commit with its own packages, beside this one. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "../../../scripts/setup/lock.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));

export type OldCode =
  | { readonly kind: "available"; readonly commit: string; readonly folder: string }
  | { readonly kind: "missing"; readonly why: string };

/**
 * The last commit with an older schema: the one before the newest migration came. OUTERLOOP_TEST_UPGRADE_FROM names another.
 * Made once and kept.
 */
export async function prepareOldCode(): Promise<OldCode> {
  const git = (...args: readonly string[]) =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  let commit: string;
  try {
    const wanted = process.env["OUTERLOOP_TEST_UPGRADE_FROM"];
    const newest = git("ls-files", "migrations/*.up.sql").split("\n").toSorted().at(-1)!;
    const added = git("log", "--diff-filter=A", "--format=%H", "--", newest).split("\n").at(-1)!;
    commit = git("rev-parse", "--verify", wanted ?? `${added}~1`);
  } catch (thrown) {
    const said = (thrown as { readonly stderr?: string }).stderr?.trim() ?? String(thrown);
    return { kind: "missing", why: `the history of this checkout is not there: ${said}` };
  }
  const folder = join(root, ".outerloop/old-code", commit);
  await withLock(
    `${folder}.lock`,
    () => undefined,
    async () => {
      const ready = join(folder, ".ready");
      if (existsSync(ready)) return;
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true });
      execFileSync("sh", ["-ec", 'git archive "$1" | tar -x -C "$2"', "sh", commit, folder], { cwd: root });
      // Installs by its own means what its own lockfile says.
      execFileSync(process.execPath, ["scripts/outerloop.mjs", "--version"], { cwd: folder, stdio: "pipe" });
      writeFileSync(ready, "");
    },
  );
  return { kind: "available", commit, folder };
}
