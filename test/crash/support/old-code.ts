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

/** What people run who upgrade to this: the commit of the last release, or the last with its schema. A release sets it to itself. */
const lastRelease = "7528b7082beea5ec5e18f188fc420dafb5a5fba5";

/** Made once and kept. OUTERLOOP_TEST_UPGRADE_FROM names another commit than that of the last release. */
export async function prepareOldCode(): Promise<OldCode> {
  const git = (...args: readonly string[]) =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  let commit: string;
  try {
    commit = git("rev-parse", "--verify", process.env["OUTERLOOP_TEST_UPGRADE_FROM"] ?? lastRelease);
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
