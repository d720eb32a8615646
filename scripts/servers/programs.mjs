// Programs that single tests need: those of this machine, or Debian's, installed or unpacked into the checkout.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { delimiter, join } from "node:path";
import { withLock } from "../setup/lock.mjs";
import { canInstall, installPackages, unpackPackages } from "./apt.mjs";
import { devServersPath } from "./paths.mjs";

/**
 * What there is to know of a set of programs that come together.
 *
 * - `names` of the programs, all in one folder
 * - `oldest` version of the first of them, with the arguments that print it: `{ args: ["--version"], version: [2, 45] }`
 * - `packages` of Debian that have them, and whether these must be installed, as what needs libraries must
 *
 * @typedef {{title: string, names: string[], oldest?: {args: string[], version: number[]}, packages: string[], install: boolean}} Programs
 */

/** PgBouncer refuses to run as root, so it lies where others may reach it. */
export const pgBouncer = { title: "PgBouncer", names: ["pgbouncer"], packages: ["pgbouncer"], install: true };

/** Debian 12 has 2.42, which was built without the discovery of Kubernetes and so refuses its configuration. */
export const prometheus = {
  title: "Prometheus",
  names: ["promtool", "prometheus"],
  oldest: { args: ["--version"], version: [2, 45] },
  packages: ["promtool", "prometheus"],
  install: false,
};

/** Renders manifests with the kustomize in it, and speaks to no cluster. Debian 12 has 1.20, which knows no components. */
export const kubectl = {
  title: "kubectl",
  names: ["kubectl"],
  oldest: { args: ["version", "--client"], version: [1, 27] },
  packages: ["kubectl"],
  install: false,
};

/** Reads compose.yaml as it would to start it; for that it needs no engine. Debian 12 has the first generation, in Python. */
export const dockerCompose = {
  title: "Docker Compose",
  names: ["docker-compose"],
  oldest: { args: ["version", "--short"], version: [2, 20] },
  packages: ["docker-compose"],
  install: false,
};

/** What to do on a machine where they are missing and can't be installed from here. */
export function howToInstall({ title, oldest, packages }) {
  const version = oldest === undefined ? "" : ` ${oldest.version.join(".")}+`;
  return `install ${title}${version} (Debian 13: apt-get install ${packages.join(" ")})`;
}

/**
 * The paths of programs by name, or undefined where one is missing or too old.
 * @param {Programs} programs
 */
export function findPrograms(programs) {
  const path = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const folders = [`${unpackedPath(programs)}/usr/bin`, ...path, "/usr/sbin"];
  const folder = folders.find((each) => isUsable(programs, each));
  return folder && Object.fromEntries(programs.names.map((name) => [name, join(folder, name)]));
}

/**
 * Finds them, or gets them where this machine lets us; a failure is told, not thrown.
 * @param {Programs} programs
 */
export async function ensurePrograms(programs) {
  const found = findPrograms(programs);
  if (found !== undefined || !canInstall()) return found;
  return aloneWithApt(async () => {
    const since = findPrograms(programs);
    if (since !== undefined) return since;
    process.stderr.write(`Installing ${programs.title} (apt) …\n`);
    try {
      if (programs.install) await installPackages(programs.packages);
      else await unpack(programs);
    } catch (error) {
      process.stderr.write(`Could not install ${programs.title}: ${error.message}\n`);
    }
    return findPrograms(programs);
  });
}

/** apt does one thing at a time, and fails where it finds itself at work. */
export function aloneWithApt(work) {
  return withLock(`${devServersPath}/install.lock`, () => {}, work);
}

async function unpack(programs) {
  const folder = unpackedPath(programs);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  await unpackPackages(programs.packages, folder);
}

function unpackedPath({ names }) {
  return `${devServersPath}/${names[0]}`;
}

function isUsable({ names, oldest }, folder) {
  if (!names.every((name) => fs.existsSync(join(folder, name)))) return false;
  if (oldest === undefined) return true;
  try {
    const text = execFileSync(join(folder, names[0]), oldest.args, { encoding: "utf8", stdio: "pipe" });
    const found = /(\d+)\.(\d+)/.exec(text).slice(1).map(Number);
    const differs = found.findIndex((part, index) => part !== oldest.version[index]);
    return differs === -1 || found[differs] > oldest.version[differs];
  } catch {
    return false;
  }
}
