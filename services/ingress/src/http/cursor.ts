/** Where a list goes on. Opaque to clients: only this file knows what is inside. */
import type { z } from "zod";
import { invalid } from "./problem.ts";

export function encodeCursor(position: unknown): string {
  return Buffer.from(JSON.stringify(position)).toString("base64url");
}

/** @throws Refusal `invalid_input` for anything that did not come from `encodeCursor` with this shape */
export function decodeCursor<Position>(cursor: string, shape: z.ZodType<Position>): Position {
  try {
    return shape.parse(JSON.parse(Buffer.from(cursor, "base64url").toString()));
  } catch {
    throw invalid("cursor", "must be a next_cursor of this list");
  }
}
