import { z } from "zod";
import { defineTool } from "../tool.ts";
import { pathSchema } from "./path.ts";

/** Characters of one write: a report of 300 pages. Larger ones come in pieces by append_to_file. */
export const maxWriteChars = 1_000_000;

const text = z
  .string()
  .max(maxWriteChars, `at most ${maxWriteChars} characters at once; write the rest with append_to_file`);
const input = z.object({ path: pathSchema, text });

export const writeFile = defineTool({
  name: "write_file",
  version: "1",
  description: "Write a text file of the workspace, replacing what it held.\nEarlier versions are kept.",
  effect: "stored",
  timeoutMs: 30_000,
  input,
  async run({ path, text }) {
    return {
      ok: true,
      text: `Wrote ${path}: ${countLines(text)} lines, ${Buffer.byteLength(text)} bytes.`,
      writes: [{ kind: "file", mode: "write", path, text }],
    };
  },
});

export const appendToFile = defineTool({
  name: "append_to_file",
  version: "1",
  description:
    "Add text at the end of a file of the workspace; the file is made where there is none.\nGive the line end yourself.",
  effect: "stored",
  timeoutMs: 30_000,
  input,
  async run({ path, text }) {
    return {
      ok: true,
      text: `Added ${countLines(text)} lines, ${Buffer.byteLength(text)} bytes to ${path}.`,
      writes: [{ kind: "file", mode: "append", path, text }],
    };
  },
});

function countLines(text: string): number {
  return text === "" ? 0 : text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}
