/** The files of a goal's workspace: list, read, search, write. */
import type { Skill } from "@outerloop/core/domain";
import { createListFiles } from "./list-files.ts";
import { readFile } from "./read-file.ts";
import { createSearchFiles } from "./search-files.ts";
import { createSearchIndexes, type SearchIndexes } from "./search/search-indexes.ts";
import { appendToFile, writeFile } from "./write-file.ts";

/** @param indexes shared by the searches of a process; bounded, see `SearchIndexes` */
export function createFilesSkill(indexes: SearchIndexes = createSearchIndexes()): Skill {
  return {
    name: "files",
    description: "Reads, searches and writes the files of the goal's workspace.",
    tools: [createListFiles(indexes), readFile, createSearchFiles(indexes), writeFile, appendToFile],
  };
}
