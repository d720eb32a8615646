/** The process's own source of ids: everything that needs them is handed this or a seeded one. */
import { createHash, getRandomValues } from "node:crypto";
import { createIds } from "../domain/ids.ts";

export const createId = createIds((size) => getRandomValues(new Uint8Array(size)));

/** SHA-256 in hex. */
export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
