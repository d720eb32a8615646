/**
 * From the paths that a person names to the files that a goal gets. Every file below a folder either comes along or is
 * named as skipped; past a limit nothing is attached at all.
 */
import { open, realpath } from "node:fs/promises";
import { basename, extname, resolve } from "node:path";
import { attachmentPathSchema, requestLimits } from "@outerloop/core/domain";
import { UserError } from "../exit.ts";
import { formatBytes, formatCount, plural } from "../text/quantities.ts";
import { printableLine } from "../text/printable.ts";
import { kindOf, looksBinary, readText } from "./sniff.ts";
import { describeSkipped, type Skipped } from "./skipped.ts";
import { statOrNull } from "./stat.ts";
import { codeOf, walkFolder, type Found } from "./walk.ts";

export interface Attachments {
  /** Paths are below the attached folder; with several of them each begins with its folder's name. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
  readonly bytes: number;
  readonly skipped: readonly Skipped[];
}

export const noAttachments: Attachments = { files: [], bytes: 0, skipped: [] };

export interface CollectOptions {
  /** What relative paths are relative to. */
  readonly cwd: string;
  readonly maxFiles?: number;
  readonly maxBytes?: number;
}

/** @throws UserError for a path that is not there, more than the limits, or nothing that could be attached */
export async function collectAttachments(paths: readonly string[], options: CollectOptions): Promise<Attachments> {
  const limits = {
    files: options.maxFiles ?? requestLimits.maxAttachments,
    bytes: options.maxBytes ?? requestLimits.maxAttachmentBytes,
  };
  const files = new Map<string, string>();
  const taken = new Set<string>();
  const skipped: Skipped[] = [];
  let bytes = 0;
  for (const root of await findRoots(paths, options.cwd)) {
    for await (const found of root.isFolder
      ? walkFolder(root.real)
      : [{ kind: "file", from: root.real, path: root.name } as const]) {
      if (found.kind === "skipped") {
        skipped.push(found.skipped);
        continue;
      }
      // The same file through two roots comes along once.
      if (taken.has(found.from)) continue;
      taken.add(found.from);
      const path = root.prefix === "" ? found.path : `${root.prefix}/${found.path}`;
      const read = await readFileText(found, path, limits.bytes - bytes);
      if ("reason" in read) {
        skipped.push(read);
        continue;
      }
      bytes += read.size;
      if (bytes > limits.bytes) throw tooMuch(`more than ${formatBytes(limits.bytes)} of text`, paths);
      if (files.size >= limits.files) throw tooMuch(`more than ${formatCount(limits.files)} files`, paths);
      files.set(freePath(path, files), read.text);
    }
  }
  if (paths.length > 0 && files.size === 0)
    throw new UserError(
      `There is nothing to attach in ${names(paths)}${skipped.length > 0 ? ` (skipped: ${describeSkipped(skipped)})` : ""}.`,
    );
  return { files: [...files].map(([path, text]) => ({ path, text })), bytes, skipped };
}

/** `14 files, 212 kB (skipped: 1 image)` */
export function describeAttachments(attachments: Attachments): string {
  const skipped = describeSkipped(attachments.skipped);
  return `${plural(attachments.files.length, "file")}, ${formatBytes(attachments.bytes)}${skipped === "" ? "" : ` (skipped: ${skipped})`}`;
}

interface Root {
  readonly real: string;
  readonly isFolder: boolean;
  /** Of a file: its path in the goal. */
  readonly name: string;
  /** Stands before the paths of a folder; empty where it is the only root. */
  readonly prefix: string;
}

async function findRoots(paths: readonly string[], cwd: string): Promise<readonly Root[]> {
  const used = new Set<string>();
  const roots: Root[] = [];
  for (const path of paths) {
    const at = resolve(cwd, path);
    const stats = await statOrNull(at);
    if (stats === null)
      throw new UserError(
        `There is no file or folder ${printableLine(path)} to attach (looked at ${printableLine(at)}).`,
      );
    if (!stats.isDirectory() && !stats.isFile())
      throw new UserError(`${printableLine(path)} is neither a file nor a folder, so it cannot be attached.`);
    const name = freeName(basename(at) || "files", used);
    used.add(name);
    roots.push({
      real: await realpath(at),
      isFolder: stats.isDirectory(),
      name,
      prefix: stats.isDirectory() && paths.length > 1 ? name : "",
    });
  }
  return roots;
}

/** Enough to tell text from the rest. */
const headBytes = 8192;

async function readFileText(
  found: Extract<Found, { kind: "file" }>,
  path: string,
  room: number,
): Promise<{ readonly text: string; readonly size: number } | Skipped> {
  if (!attachmentPathSchema.safeParse(path).success) return { path, reason: "name" };
  try {
    await using file = await open(found.from, "r");
    const { size } = await file.stat();
    const head = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    if (looksBinary(head.buffer.subarray(0, head.bytesRead))) return { path, reason: kindOf(path) };
    // Too large in any case; the caller says so.
    if (size > room) return { text: "", size };
    const bytes = await file.readFile();
    const read = readText(path, bytes);
    return "text" in read ? { text: read.text, size: bytes.length } : { path, reason: read.notText };
  } catch (thrown) {
    return { path, reason: "unreadable", detail: codeOf(thrown) };
  }
}

function freePath(path: string, files: ReadonlyMap<string, string>): string {
  return files.has(path) ? freeName(path, files) : path;
}

/** `notes.md`, `notes-2.md`, … */
function freeName(name: string, used: { has(name: string): boolean }): string {
  const extension = extname(name);
  const stem = extension === "" ? name : name.slice(0, -extension.length);
  let free = name;
  for (let number = 2; used.has(free); number += 1) free = `${stem}-${number}${extension}`;
  return free;
}

function tooMuch(what: string, paths: readonly string[]): UserError {
  return new UserError(
    `${names(paths)} holds ${what}, the limit for attachments. Nothing was sent. Attach a narrower folder, or list in a .gitignore what to leave out.`,
  );
}

const names = (paths: readonly string[]) => paths.map(printableLine).join(", ");
