import type { JsonObject } from "../../domain/json.ts";

export interface Calls {
  readonly calls: readonly { readonly name: string; readonly args: JsonObject }[];
}

/** What the offline model says in one turn: calls of tools, or its result. */
export type Turn = Calls | { readonly text: string };
