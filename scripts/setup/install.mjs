// Brings node_modules to what the checkout asks for. Loaded only when the stamp says that something is missing.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createProgress } from "./progress.mjs";
import { trackInstall } from "./install-progress.mjs";
import { isAlive } from "./alive.mjs";
import { withLock } from "./lock.mjs";
import { isMusl, nodeBinary, nodePackage, runningNodeIsCurrent } from "./node-binary.mjs";
import { runPnpm } from "./pnpm.mjs";
import { rootPath } from "./root.mjs";
import { SetupError } from "./setup-error.mjs";
import { hasStamp, isUpToDate, modeToInstall, removeStamp, writeStamp } from "./stamp.mjs";

// What `npm start` and `npx outerloop` run, with all they depend on in this workspace, and the root for its Node.
const started = ["outerloop", "@outerloop/embedded...", "@outerloop/cli..."];

/** Installs for `mode` ("prod" or "dev"); several processes may call it at once, also after one was killed. */
export async function install(mode) {
  await withLock(`${rootPath}node_modules/.outerloop-setup.lock`, tellWaiting, async () => {
    // Whoever held the lock before may have done it all.
    if (!isUpToDate(mode)) await installLocked(mode);
  });
}

function tellWaiting(owner) {
  if (owner.pid === undefined || isAlive(owner.pid))
    process.stderr.write(`Another process (${owner.pid ?? "unknown"}) is installing; waiting for it.\n`);
}

async function installLocked(mode) {
  const target = modeToInstall(mode);
  const withNode = target === "dev" || !runningNodeIsCurrent();
  if (!runningNodeIsCurrent()) requireNodePackage();

  const progress = createProgress({ label: hasStamp() ? "Update" : "First start" });
  const names = { nodeName: "Node 26", packagesName: target === "dev" ? "packages and tools" : "packages" };
  removeStamp();
  progress.begin(withNode ? [names.nodeName, names.packagesName] : [names.packagesName]);
  try {
    await runPnpm(installArguments(target, withNode), trackInstall(progress, names));
    checkNode();
    linkCommand();
  } catch (error) {
    progress.abort();
    throw error;
  }
  writeStamp(target);
  progress.finish();
}

function installArguments(mode, withNode) {
  return [
    "install",
    "--frozen-lockfile",
    // The lockfile is ours and holds checksums. Auditing it against release-age policies asks the registry about each
    // of its entries, in seconds that a first start does not have; `pnpm add` still does.
    "--trust-lockfile",
    // Switching between the two modes replaces folders, which pnpm would ask about.
    "--config.confirmModulesPurge=false",
    ...(mode === "dev" ? [] : ["--prod", ...started.flatMap((name) => ["--filter", name])]),
    // Production's optional packages are Node itself and a native decoder that has a JavaScript twin.
    ...(withNode ? [] : ["--no-optional"]),
  ];
}

function requireNodePackage() {
  const advice = "Install Node.js 24 or newer from nodejs.org, then try again.";
  const own = `This machine's Node is ${process.versions.node}`;
  if (nodePackage === undefined)
    throw new SetupError(`${own}, and there is no packaged one for ${process.platform} ${process.arch}.`, advice);
  if (isMusl())
    throw new SetupError(`${own}, and the packaged one needs glibc, which this system does not have.`, advice);
}

// A binary that is there but does not run (another libc, a broken download) is better found out now.
function checkNode() {
  const node = nodeBinary();
  try {
    execFileSync(node, ["--version"], { stdio: "pipe" });
  } catch (error) {
    throw new SetupError(`${node} does not run here: ${error.message}`, "Install Node.js 24 or newer, then try again.");
  }
}

// pnpm links the commands of dependencies, not the root's own. With the link, `npx outerloop` finds it here and never
// asks the registry.
function linkCommand() {
  const link = `${rootPath}node_modules/.bin/outerloop`;
  fs.mkdirSync(`${rootPath}node_modules/.bin`, { recursive: true });
  fs.rmSync(link, { force: true });
  fs.symlinkSync("../../scripts/outerloop.mjs", link);
}
