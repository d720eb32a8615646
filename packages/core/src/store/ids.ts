/** The process's own source of ids: everything that needs them is handed this or a seeded one. */
import { getRandomValues, hash } from "node:crypto";
import { createIds } from "../domain/ids.ts";

/** The kernel is asked for many ids' worth at once. */
const pool = new Uint8Array(4096);
let used = pool.length;

function randomBytes(size: number): Uint8Array {
  if (used + size > pool.length) {
    getRandomValues(pool);
    used = 0;
  }
  used += size;
  return pool.slice(used - size, used);
}

export const createId = createIds(randomBytes);

/** SHA-256 in hex. */
export function sha256(data: string | Uint8Array): string {
  return hash("sha256", data, "hex");
}
