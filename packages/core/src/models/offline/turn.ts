import type { JsonObject } from "../../domain/json.ts";

/** What the offline model says in one turn: calls of tools, or its result. */
export type Turn =
  | { readonly calls: readonly { readonly name: string; readonly args: JsonObject }[] }
  | { readonly text: string };
