// node scripts/check-imports.mjs [ROOT]: fails where an import points against the direction of import-zones.mjs.
//
// Imports are parsed, not searched for, and relative ones resolved, so a path in a string or a comment is none and
// `../../store/x.ts` is what it is. Cycles are oxlint's (import/no-cycle).
import fs from "node:fs";
import { dirname, join, relative } from "node:path";
import { parseSync } from "oxc-parser";
import { closedFolders, isTest, mayImportMembers, ownedPackages } from "./import-zones.mjs";
import { rootPath } from "./setup/root.mjs";

const root = process.argv[2] ?? rootPath;

const sources = ["packages", "services"].flatMap(membersIn).flatMap(sourcesOf);
const violations = sources.flatMap((file) =>
  importsOf(file).flatMap(({ specifier, line }) =>
    against(file, specifier).map((why) => `${file}:${line} imports ${specifier}: ${why}`),
  ),
);

for (const violation of violations) process.stderr.write(`${violation}\n`);
process.stdout.write(`${sources.length} files, ${violations.length} imports against the direction\n`);
process.exitCode = violations.length === 0 ? 0 : 1;

function membersIn(folder) {
  return fs.existsSync(join(root, folder)) ? fs.readdirSync(join(root, folder)).map((name) => `${folder}/${name}`) : [];
}

function sourcesOf(member) {
  const src = join(root, member, "src");
  if (!fs.existsSync(src)) return [];
  const names = fs.readdirSync(src, { recursive: true }).filter((name) => /\.tsx?$/.test(name));
  return names.map((name) => `${member}/src/${name}`);
}

/** Every module that a file names: import, export … from, and import() of a literal. */
function importsOf(file) {
  const text = fs.readFileSync(join(root, file), "utf8");
  const { module, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`);
  const named = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest),
    ...module.staticExports.flatMap(({ entries }) => entries.flatMap(({ moduleRequest }) => moduleRequest ?? [])),
    ...module.dynamicImports.flatMap(({ moduleRequest }) => {
      const literal = /^(["'`])([^$]*)\1$/.exec(text.slice(moduleRequest.start, moduleRequest.end));
      return literal ? { value: literal[2], start: moduleRequest.start } : [];
    }),
  ];
  const seen = new Map(named.map(({ value, start }) => [value, text.slice(0, start).split("\n").length]));
  return [...seen].map(([specifier, line]) => ({ specifier, line }));
}

/** The reasons why `file` may not import `specifier`; none if it may. */
function against(file, specifier) {
  if (specifier.startsWith("node:")) return isTest(file) ? [] : againstClosed(file, specifier);
  if (specifier.startsWith(".")) {
    const target = relative(root, join(root, dirname(file), specifier));
    if (memberOf(target) !== memberOf(file)) return [`outside of ${memberOf(file)}; import the package by its name`];
    return isTest(file) ? [] : againstClosed(file, target);
  }
  const name = packageOf(specifier);
  if (name.startsWith("@outerloop/")) return againstMember(file, name);
  return isTest(file) ? [] : [...againstClosed(file, name), ...againstOwner(file, name)];
}

function againstMember(file, name) {
  const member = memberOf(file);
  const may = mayImportMembers[member];
  if (may === undefined) return [`${member} has no line in scripts/import-zones.mjs`];
  const reason = `${member} may import ${may.length === 0 ? "no member of the workspace" : `only ${may.join(", ")}`}`;
  return may.includes(name.slice("@outerloop/".length)) ? [] : [reason];
}

function againstClosed(file, target) {
  return Object.entries(closedFolders).flatMap(([folder, { folders, packages }]) => {
    if (!isInside(file, folder)) return [];
    const allowed = packages.includes(target) || [folder, ...folders].some((other) => isInside(target, other));
    return allowed ? [] : [`${folder} may import only itself, ${[...folders, ...packages].join(", ")}`];
  });
}

function againstOwner(file, name) {
  const owners = Object.hasOwn(ownedPackages, name) ? ownedPackages[name] : undefined;
  if (owners === undefined || owners.some((owner) => isInside(file, owner))) return [];
  return [`${name} stops at ${owners.join(" and ")}`];
}

function isInside(path, folder) {
  return path.startsWith(`${folder}/`);
}

// packages/core/src/x.ts → packages/core
function memberOf(file) {
  return file.split("/").slice(0, 2).join("/");
}

// @scope/name/path → @scope/name
function packageOf(specifier) {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}
