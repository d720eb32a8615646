/** What .gitignore files say, nested ones too: the file nearest to a path decides first. */
import { readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import ignore from "ignore";
import { statOrNull } from "./stat.ts";

interface RuleFile {
  readonly folder: string;
  readonly matcher: ignore.Ignore;
}

/** Nearest last. */
export type IgnoreRules = readonly RuleFile[];

/** Folders that no goal wants: history, dependencies, our own data. */
const alwaysSkipped: ReadonlySet<string> = new Set([".git", "node_modules", ".outerloop"]);

/** Files that hold secrets by their very name. Whoever wants one names the file itself. */
const secretNames = /^(\.env(\..+)?|\.npmrc|\.netrc|\.pgpass|id_(rsa|dsa|ecdsa|ed25519)|.+\.(pem|key|p12|pfx))$/i;
const harmless = /^\.env\.(example|sample|template)$/i;

export function isSecret(name: string): boolean {
  return secretNames.test(name) && !harmless.test(name);
}

export function isAlwaysSkipped(name: string): boolean {
  return alwaysSkipped.has(name);
}

/** Adds the folder's own file, where it has one that can be read. */
export async function withRulesOf(rules: IgnoreRules, folder: string): Promise<IgnoreRules> {
  const text = await readFile(join(folder, ".gitignore"), "utf8").catch(() => null);
  return text === null ? rules : [...rules, { folder, matcher: ignore().add(text) }];
}

/**
 * The rules of the folders above, up to the repository's root. None where they ignore the folder itself: whoever names
 * an ignored folder wants what is in it.
 */
export async function rulesAbove(folder: string): Promise<IgnoreRules> {
  if ((await statOrNull(join(folder, ".git"))) !== null) return [];
  const above: string[] = [];
  let at = dirname(folder);
  // Ends: at the repository's root, or at the file system's.
  for (; ; at = dirname(at)) {
    above.unshift(at);
    if ((await statOrNull(join(at, ".git"))) !== null) break;
    if (dirname(at) === at) return [];
  }
  let rules: IgnoreRules = [];
  for (const [index, each] of above.entries()) {
    rules = await withRulesOf(rules, each);
    const next = above[index + 1] ?? folder;
    if (isIgnored(rules, next, true)) return [];
  }
  return rules;
}

export function isIgnored(rules: IgnoreRules, path: string, isFolder: boolean): boolean {
  for (const { folder, matcher } of rules.toReversed()) {
    const name = relative(folder, path).replaceAll("\\", "/");
    const { ignored, unignored } = matcher.test(isFolder ? `${name}/` : name);
    if (ignored || unignored) return ignored;
  }
  return false;
}
