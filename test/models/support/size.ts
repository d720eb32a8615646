/** Every scenario runs small in `npm test`; OUTERLOOP_TEST_MODELS=full runs it in full. Set at all, each says what it measured. */
import { writeSync } from "node:fs";

const size = process.env["OUTERLOOP_TEST_MODELS"];
const isFull = size === "full";

export function sized<Value>(quick: Value, full: Value): Value {
  return isFull ? full : quick;
}

/** What a scenario came to, a line each. */
export function tellFigures(scenario: string, figures: Readonly<Record<string, unknown>>): void {
  if (size !== undefined) writeSync(2, `figures of ${scenario}: ${JSON.stringify(figures)}\n`);
}

export function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
