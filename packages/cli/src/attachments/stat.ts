import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";

/** What a path leads to, links followed; null where that is nothing. */
export async function statOrNull(path: string): Promise<Stats | null> {
  return stat(path).catch(() => null);
}
