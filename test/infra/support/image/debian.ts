/**
 * The base image's place: `node:VERSION-bookworm-slim` can only be had from a registry of images, so its root is put
 * together from what it is made of. Debian's essential packages in the release of this machine (the same bookworm
 * where tests usually run), unpacked without documentation as in "slim"; the libraries that Node links to; Node from
 * its npm package and npm from this machine, where the official image has them; its user "node" with number 1000.
 *
 * What differs: packages are unpacked but not configured, npm may be of another version, there is no yarn. So this
 * shows that the image needs no more than those packages, not that the official one is as it should be.
 */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import {
  appendFile,
  chown,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { aloneWithApt } from "../../../../scripts/servers/programs.mjs";
import { withLock } from "../../../../scripts/setup/lock.mjs";
import { rootPath } from "./context.ts";

const run = promisify(execFile);

/** Those that Node links to; `usr-is-merged` instead of a script that would merge. */
const packages = ["?essential", "usr-is-merged", "libstdc++6", "libatomic1"];

/** Node for this machine, as `npm install` brings it. */
export const nodePath = join(rootPath, `node_modules/node-linux-${process.arch}/bin/node`);

/** Where packages, roots and the store of pnpm are kept from one run to the next. */
export const cachePath = join(rootPath, ".outerloop/test-image");

/** Why this machine can't put such a root together, or undefined. */
export function whyNoContainers(): string | undefined {
  if (process.platform !== "linux") return "containers are replayed on Linux only";
  if (process.getuid?.() !== 0) return "mounts, other users and chroot need root";
  if (!existsSync(nodePath)) return `${nodePath} is not there`;
  const missing = ["apt-get", "dpkg-deb", "unshare", "chroot", "mount", "npm"].filter(
    (name) => findOnPath(name) === undefined,
  );
  if (missing.length > 0) return `${missing.join(", ")} not found`;
  mkdirSync(cachePath, { recursive: true });
  const probe = mkdtempSync(join(cachePath, "probe-"));
  try {
    for (const name of ["below", "above", "work", "root"]) mkdirSync(join(probe, name));
    const options = "lowerdir=below,upperdir=above,workdir=work";
    execFileSync("unshare", ["--mount", "mount", "-t", "overlay", "overlay", "-o", options, "root"], {
      cwd: probe,
      stdio: "pipe",
    });
    return undefined;
  } catch (thrown) {
    return `no mounts of one's own here: ${String(thrown)}`;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

/** The root of the base image, which nobody may change. */
export function baseRoot(): Promise<string> {
  return withLock(join(cachePath, "base.lock"), () => {}, buildBaseRoot);
}

async function buildBaseRoot(): Promise<string> {
  const root = join(cachePath, `node-${process.versions.node}`);
  if (existsSync(root)) return root;
  // Of another Node, or of a run that was killed.
  for (const name of await readdir(cachePath))
    if (name.startsWith("node-") || name.startsWith("building-")) await rm(join(cachePath, name), { recursive: true });
  const building = await mkdtemp(join(cachePath, "building-"));
  const folder = join(building, "root");
  await unpackDebian(building, folder);
  await mkdir(join(folder, "usr/local/lib/node_modules"), { recursive: true });
  await mkdir(join(folder, "usr/local/bin"), { recursive: true });
  await copyFile(nodePath, join(folder, "usr/local/bin/node"));
  // npm's program is a link to npm/bin/npm-cli.js.
  const npm = dirname(dirname(await realpath(findOnPath("npm")!)));
  await run("cp", ["-r", npm, join(folder, "usr/local/lib/node_modules/npm")]);
  await symlink("../lib/node_modules/npm/bin/npm-cli.js", join(folder, "usr/local/bin/npm"));
  for (const name of ["passwd", "group"])
    await copyFile(join(folder, `usr/share/base-passwd/${name}.master`), join(folder, `etc/${name}`));
  await appendFile(join(folder, "etc/passwd"), "node:x:1000:1000::/home/node:/bin/bash\n");
  await appendFile(join(folder, "etc/group"), "node:x:1000:\n");
  await mkdir(join(folder, "home/node"), { recursive: true });
  await chown(join(folder, "home/node"), 1000, 1000);
  // What a runtime of containers mounts over.
  await mkdir(join(folder, "dev"), { recursive: true });
  for (const name of ["resolv.conf", "hosts"]) await writeFile(join(folder, "etc", name), "");
  await rename(folder, root);
  await rm(building, { recursive: true, force: true });
  return root;
}

async function unpackDebian(building: string, unpacked: string): Promise<void> {
  const archives = join(building, "archives");
  await mkdir(join(archives, "partial"), { recursive: true });
  await aloneWithApt(() =>
    download(archives).catch(async () => {
      // A machine that never looked knows no packages.
      await run("apt-get", ["update", "-qq"]);
      await download(archives);
    }),
  );
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    await mkdir(join(unpacked, "usr", name), { recursive: true });
    await symlink(`usr/${name}`, join(unpacked, name));
  }
  const files = (await readdir(archives)).filter((name) => name.endsWith(".deb"));
  for (const file of files) await run("sh", ["-c", unpack, "sh", join(archives, file), unpacked]);
}

/** As "slim" images leave it out. */
const unpack = `dpkg-deb --fsys-tarfile "$1" | tar -xC "$2" --keep-directory-symlink \\
  --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale`;

// With a status of its own, in which nothing is installed: so all of them come, whatever this machine has.
async function download(archives: string): Promise<void> {
  const status = join(dirname(archives), "status");
  await writeFile(status, "");
  const options = [`Dir::State::status=${status}`, `Dir::Cache::archives=${archives}`, "Debug::NoLocking=1"];
  const flags = ["-qq", "-y", "--download-only", "--no-install-recommends"];
  await run("apt-get", [...options.flatMap((option) => ["-o", option]), ...flags, "install", ...packages]);
}

function findOnPath(name: string): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(":")
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
