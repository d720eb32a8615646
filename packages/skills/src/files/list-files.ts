import { z } from "zod";
import { defineTool } from "../tool.ts";
import { prefixSchema, isUnder } from "./path.ts";
import type { SearchIndexes } from "./search/search-indexes.ts";

/** Files of one answer; more would crowd out what the model is doing. */
export const maxListedFiles = 300;

export function createListFiles(indexes: SearchIndexes) {
  return defineTool({
    name: "list_files",
    version: "1",
    description: `List the files of the workspace, one a line: path, number of lines, number of bytes.\nprefix: only paths that begin so, for example a folder. At most ${maxListedFiles} files at once.`,
    effect: "pure",
    timeoutMs: 120_000,
    input: z.object({ prefix: prefixSchema.describe("only paths that begin with this") }),
    async run({ prefix }, context) {
      const index = await indexes.of(context);
      const files = index.files.filter((file) => isUnder(file.path, prefix));
      if (files.length === 0)
        return { ok: true, text: prefix ? `No file's path begins with "${prefix}".` : "The workspace has no files." };
      const lines = files
        .slice(0, maxListedFiles)
        .map((file) => `${file.path}\t${file.isBinary ? "binary" : `${file.lineCount} lines`}\t${file.bytes} bytes`);
      const rest = files.length - lines.length;
      if (rest > 0)
        lines.push(
          `… and ${rest} more files. Give a prefix to see them, for example "${files[maxListedFiles]!.path.split("/").slice(0, -1).join("/") || files[maxListedFiles]!.path.slice(0, 1)}".`,
        );
      return { ok: true, text: lines.join("\n") };
    },
  });
}
