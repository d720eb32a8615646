/** Finds the files below a folder in the order of their names. Reads directories only, never files. */
import type { Dirent } from "node:fs";
import { readdir, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { isAlwaysSkipped, isIgnored, isSecret, rulesAbove, withRulesOf, type IgnoreRules } from "./ignore-rules.ts";
import type { Skipped } from "./skipped.ts";
import { statOrNull } from "./stat.ts";

export type Found =
  | {
      readonly kind: "file";
      /** Where it is. */ readonly from: string;
      /** Below the folder, with `/`. */ readonly path: string;
    }
  | { readonly kind: "skipped"; readonly skipped: Skipped };

/** @param root a real path: no link leads to it */
export async function* walkFolder(root: string): AsyncGenerator<Found> {
  yield* walk(root, root, "", await rulesAbove(root));
}

async function* walk(root: string, folder: string, prefix: string, above: IgnoreRules): AsyncGenerator<Found> {
  const rules = await withRulesOf(above, folder);
  let entries: Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (thrown) {
    yield skip(prefix || ".", "unreadable", codeOf(thrown));
    return;
  }
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    const from = join(folder, entry.name);
    if (isAlwaysSkipped(entry.name) || isIgnored(rules, from, entry.isDirectory())) {
      // A repository's history is nothing that anybody misses.
      if (entry.name !== ".git") yield skip(path, "ignored");
    } else if (!entry.isDirectory() && isSecret(entry.name)) yield skip(path, "secret");
    else if (entry.isDirectory()) yield* walk(root, from, path, rules);
    else if (entry.isFile()) yield { kind: "file", from, path };
    else if (entry.isSymbolicLink()) yield await followLink(root, from, path, rules);
    else yield skip(path, "special");
  }
}

/** A link to a file of the folder is that file; others would bring in what was not attached, or the same folder again. */
async function followLink(root: string, from: string, path: string, rules: IgnoreRules): Promise<Found> {
  const target = await realpath(from).catch(() => null);
  if (target === null || !target.startsWith(root + sep)) return skip(path, "link");
  if (isSecret(target.split(sep).at(-1) ?? "")) return skip(path, "secret");
  if (
    isIgnored(rules, target, false) ||
    target
      .slice(root.length + 1)
      .split(sep)
      .some(isAlwaysSkipped)
  )
    return skip(path, "ignored");
  return (await statOrNull(target))?.isFile() === true ? { kind: "file", from: target, path } : skip(path, "link");
}

function skip(path: string, reason: Skipped["reason"], detail?: string): Found {
  return { kind: "skipped", skipped: { path, reason, ...(detail === undefined ? {} : { detail }) } };
}

export function codeOf(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : String(thrown);
}
