import type { JsonObject } from "../../../domain/json.ts";

/** Arguments as a model wrote them: an object, nothing at all (a call without arguments), or `{ malformed: text }`. */
export function readToolArgs(text: string): JsonObject {
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch {
    // Told to the model by the executor, which sees `malformed`.
  }
  return { malformed: text };
}
