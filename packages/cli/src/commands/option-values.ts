/** Values of options as people type them. */
import { InvalidArgumentError } from "commander";
import { parseDuration } from "../text/quantities.ts";

export function whole(text: string): number {
  const value = integer(text);
  if (value < 1) throw new InvalidArgumentError("It must be at least 1.");
  return value;
}

export function integer(text: string): number {
  if (!/^-?\d{1,12}$/.test(text.replaceAll("_", ""))) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text.replaceAll("_", ""));
}

export function amount(text: string): number {
  const value = Number(text.replace(/^\$/, ""));
  if (text.trim() === "" || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError("It must be an amount in dollars, such as 0.50.");
  return value;
}

export function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 1000)
    throw new InvalidArgumentError("It must be a time of at least a second, such as 90s, 15m or 1h30m.");
  return ms;
}
