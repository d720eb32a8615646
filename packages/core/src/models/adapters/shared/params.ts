import type { ModelCallOptions, ModelRequest } from "../../../domain/model.ts";

/** Tokens that an answer may have: a route's entry lowers what the stage asks for, and never raises it. */
export function outputLimit({ maxOutputTokens }: ModelRequest, { params }: ModelCallOptions): number {
  return Math.min(maxOutputTokens, params?.maxOutputTokens ?? maxOutputTokens);
}
