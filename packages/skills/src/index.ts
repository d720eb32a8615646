export * from "./built-in.ts";
export { createFilesSkill } from "./files/index.ts";
export { createSearchIndexes, type SearchIndexes } from "./files/search/search-indexes.ts";
export { notesSkill } from "./notes/index.ts";
export * from "./modules.ts";
export * from "./registry.ts";
export { tasksSkill } from "./tasks/index.ts";
export { defineTool } from "./tool.ts";
export { createWaitingSkill } from "./waiting/index.ts";
