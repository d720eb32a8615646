/**
 * Writes what a goal made into a folder of the user's. Names come from a model, so they are made harmless first: no
 * file ever stands outside of the folder.
 */
import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import type { Client } from "@outerloop/client";
import { messageOf } from "@outerloop/core/domain";

export interface SavedFile {
  /** In the goal. */
  readonly path: string;
  /** On this machine. */
  readonly savedAt: string;
}

export interface FailedFile {
  readonly path: string;
  readonly why: string;
}

/** File systems take 255 bytes; a number and a suffix must still fit. */
const maxNameBytes = 200;

/** A path of a goal as one below a folder: no `..`, no absolute path, no control characters, no reserved ones. */
export function safePath(path: string): string {
  const parts = path
    .split(/[/\\]+/)
    .map((part) =>
      cutBytes(
        part.replaceAll(/[\0-\x1f\x7f-\x9f<>:"|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "_").trim(),
        maxNameBytes,
      ),
    )
    .filter((part) => part !== "" && part !== "." && part !== "..");
  return parts.length === 0 ? "file" : parts.join("/");
}

/** Saves the files that the goal wrote, not those that it was given. */
export async function saveWrittenFiles(
  client: Client,
  goalId: string,
  folder: string,
  signal?: AbortSignal,
): Promise<{ readonly saved: readonly SavedFile[]; readonly failed: readonly FailedFile[] }> {
  const options = signal === undefined ? {} : { signal };
  const artifacts = await client.goals.artifacts(goalId, options);
  const used = new Set<string>();
  const saved: SavedFile[] = [];
  const failed: FailedFile[] = [];
  for (const artifact of artifacts.filter((each) => each.origin === "written")) {
    const name = freeName(safePath(artifact.path), used);
    // One that cannot be saved, as below a file of the same name, does not keep the others from it.
    try {
      const savedAt = await saveBelow(folder, name, await client.goals.artifact(goalId, artifact.path, options));
      saved.push({ path: artifact.path, savedAt });
    } catch (thrown) {
      failed.push({ path: artifact.path, why: messageOf(thrown) });
    }
  }
  return { saved, failed };
}

export async function saveBelow(folder: string, name: string, bytes: Uint8Array): Promise<string> {
  const target = resolve(folder, name);
  if (!target.startsWith(resolve(folder) + sep)) throw new Error(`${name} would be saved outside of ${folder}`);
  await mkdir(dirname(target), { recursive: true });
  // Replaces a link instead of writing through it, and leaves no half of a file.
  const draft = join(dirname(target), `.${randomUUID()}.tmp`);
  try {
    await writeFile(draft, bytes, { flag: "wx" });
    await rename(draft, target);
  } catch (thrown) {
    await rm(draft, { force: true });
    throw thrown;
  }
  return target;
}

/** `./.outerloop/goals/…` where it is below the folder that the user stands in, else the whole path. */
export function shownPath(path: string, cwd: string): string {
  const below = relative(cwd, path);
  return below === "" || below.startsWith("..") ? path : `./${below}`;
}

/** Names that differ only in case are one file on some machines. */
function freeName(name: string, used: Set<string>): string {
  const extension = extname(name);
  const stem = extension === "" ? name : name.slice(0, -extension.length);
  let free = name;
  for (let number = 2; used.has(free.toLowerCase()); number += 1) free = `${stem}-${number}${extension}`;
  used.add(free.toLowerCase());
  return free;
}

function cutBytes(text: string, maxBytes: number): string {
  let kept = text;
  while (Buffer.byteLength(kept) > maxBytes) kept = kept.slice(0, -1);
  return kept;
}
