import { z } from "zod";
import type { Workspace } from "@outerloop/core/domain";
import { defineTool } from "../tool.ts";
import { pathSchema } from "./path.ts";
import { isBinary, linesOf } from "./text.ts";

/** Lines and characters of one call: a dozen pages. */
export const maxReadLines = 200;
export const maxReadChars = 16_000;
/** Characters of one line; minified code has lines of a megabyte. */
export const maxLineChars = 2000;
/** Paths named where one does not exist. */
const maxSuggestions = 8;

const lineNumber = z.int().min(1).nullish();

export const readFile = defineTool({
  name: "read_file",
  version: "1",
  description: `Read lines of a text file, each with its number.\nfrom and to count from 1, both included; without them from the beginning. At most ${maxReadLines} lines or ${maxReadChars} characters a call; a cut says where to go on.`,
  effect: "pure",
  timeoutMs: 30_000,
  input: z.object({ path: pathSchema, from: lineNumber.describe("first line"), to: lineNumber.describe("last line") }),
  async run({ path, from, to }, { workspace }) {
    const bytes = await workspace.read(path);
    if (bytes === undefined) return { ok: false, text: await noSuchFile(path, workspace) };
    if (isBinary(bytes)) return { ok: false, text: `${path} is not text (${bytes.length} bytes); it cannot be read.` };
    const lines = linesOf(bytes);
    if (lines.length === 0) return { ok: true, text: `${path} is empty` };
    const first = from ?? 1;
    if (first > lines.length)
      return { ok: false, text: `${path} has ${lines.length} lines; there is no line ${first}.` };
    const wanted = Math.min(to ?? lines.length, lines.length);
    if (wanted < first) return { ok: false, text: `to (${wanted}) lies before from (${first}).` };
    return { ok: true, text: render(path, lines, first, wanted) };
  },
});

function render(path: string, lines: readonly string[], first: number, wanted: number): string {
  const shown: string[] = [];
  let chars = 0;
  for (let at = first; at <= wanted && shown.length < maxReadLines; at += 1) {
    const text = `${at}: ${clipLine(lines[at - 1]!)}`;
    if (shown.length > 0 && chars + text.length > maxReadChars) break;
    shown.push(text);
    chars += text.length + 1;
  }
  const last = first + shown.length - 1;
  const more = last < wanted ? `\n… cut here. Go on with read_file from ${last + 1}.` : "";
  return `${path} lines ${first}-${last} of ${lines.length}\n${shown.join("\n")}${more}`;
}

function clipLine(line: string): string {
  return line.length <= maxLineChars
    ? line
    : `${line.slice(0, maxLineChars)} … (${line.length - maxLineChars} more characters in this line)`;
}

async function noSuchFile(path: string, workspace: Workspace): Promise<string> {
  const paths = (await workspace.list()).map((file) => file.path);
  const name = path.split("/").at(-1)!.toLowerCase();
  const like = paths.filter((each) => each.toLowerCase().includes(name));
  const named = (like.length > 0 ? like : paths).slice(0, maxSuggestions);
  return `There is no file ${path}. ${named.length > 0 ? `There are, for example: ${named.join(", ")}.` : "The workspace has no files."}`;
}
