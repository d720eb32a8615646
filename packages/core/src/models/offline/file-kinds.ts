/** What files are for, by their names: where an answer may stand depends on it. */
import { codeFile } from "./language/index.ts";

export const fileKinds = ["guides", "change histories", "code and data"] as const;
export type FileKind = (typeof fileKinds)[number];

const history = /(?:^|\/)(?:change[sl]?|changelog|history|news|releases?)(?:[._-][^/]*)?$/i;
const data = /\.(?:csv|tsv|jsonl?|ndjson|lock|log|sql|css)$/i;

export function fileKindOf(path: string): FileKind {
  if (history.test(path)) return "change histories";
  return codeFile.test(path) || data.test(path) ? "code and data" : "guides";
}
