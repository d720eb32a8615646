export * from "./common-words.ts";
export * from "./key-words.ts";
export * from "./outline.ts";
export * from "./stop-words.ts";
export * from "./synonyms.ts";
export * from "./words.ts";
