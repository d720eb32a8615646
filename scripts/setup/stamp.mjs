// What was installed, and whether it is still what the checkout asks for.
//
// The stamp is written last, so an install that was interrupted has none and is done again.
import { createHash } from "node:crypto";
import fs from "node:fs";
import { nodeBinary } from "./node-binary.mjs";
import { rootPath } from "./root.mjs";

const stampPath = `${rootPath}node_modules/.outerloop-setup.json`;
const rank = { prod: 0, dev: 1 };

/** Whether `mode` ("prod" or "dev") is installed and nothing changed since. Costs a few milliseconds. */
export function isUpToDate(mode) {
  const stamp = readStamp();
  return (
    stamp !== undefined && rank[stamp.mode] >= rank[mode] && stamp.inputs === hashInputs() && nodeBinary() !== undefined
  );
}

/** Whether anything was ever installed here to the end. */
export function hasStamp() {
  return readStamp() !== undefined;
}

export function writeStamp(mode) {
  const content = `${JSON.stringify({ mode, inputs: hashInputs() })}\n`;
  fs.writeFileSync(`${stampPath}.new`, content);
  fs.renameSync(`${stampPath}.new`, stampPath);
}

/** Before an install changes anything: what is there can't be trusted until it has finished. */
export function removeStamp() {
  fs.rmSync(stampPath, { force: true });
}

/**
 * The mode to install: dev dependencies that are already there stay, also those of a plain `pnpm install`, because
 * `npm start` must not take a developer's tools away.
 */
export function modeToInstall(mode) {
  const modules = readText(`${rootPath}node_modules/.modules.yaml`) ?? "";
  return readStamp()?.mode === "dev" || /"?devDependencies"?:\s*true/.test(modules) ? "dev" : mode;
}

function readStamp() {
  try {
    return JSON.parse(readText(stampPath) ?? "");
  } catch {
    // None, or cut short by a power failure.
    return undefined;
  }
}

function hashInputs() {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  for (const path of inputs()) hash.update(`\0${path}\0${readText(rootPath + path) ?? ""}`);
  return hash.digest("hex");
}

function inputs() {
  const members = ["packages", "services"].flatMap((folder) =>
    fs.readdirSync(rootPath + folder).map((name) => `${folder}/${name}/package.json`),
  );
  return [
    "package.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "test/package.json",
    ...members.sort((a, b) => (a < b ? -1 : 1)),
  ];
}

function readText(path) {
  try {
    return fs.readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  }
}
