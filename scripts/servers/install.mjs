import { canInstall, installServers } from "./apt.mjs";
import { findPostgres, findRedis } from "./find.mjs";
import { withLock } from "../setup/lock.mjs";
import { devServersPath } from "./paths.mjs";

/** What to do on a machine where the servers are missing and can't be installed from here. */
export const howToInstall =
  "install PostgreSQL 15+ with pgvector 0.8+ and Valkey or Redis (Debian: run `npm run servers install` as root; " +
  "macOS: brew install postgresql@17 pgvector valkey)";

/** Why real servers can't be started here, or undefined if they can. */
export function whatIsMissing() {
  const missing = [
    ...(findPostgres() === undefined ? ["PostgreSQL 15+ with pgvector 0.8+"] : []),
    ...(findRedis() === undefined ? ["Valkey or Redis"] : []),
  ];
  return missing.length === 0 ? undefined : `${missing.join(" and ")} not found`;
}

/** Installs the servers where they are missing and this machine lets us; a failure is told, not thrown. */
export async function installMissing() {
  if (whatIsMissing() === undefined || !canInstall()) return;
  await withLock(
    `${devServersPath}/install.lock`,
    () => process.stderr.write("Another process is installing the servers; waiting for it.\n"),
    async () => {
      if (whatIsMissing() === undefined) return;
      await told("PostgreSQL with pgvector, and Valkey", installServers);
    },
  );
}

async function told(what, work) {
  const startedAt = performance.now();
  process.stderr.write(`Installing ${what} (apt) …\n`);
  try {
    await work();
    process.stderr.write(`Installed ${what}  ${Math.round((performance.now() - startedAt) / 1000)} s (once)\n`);
  } catch (error) {
    process.stderr.write(`Could not install ${what}: ${error.message}\n`);
  }
}
