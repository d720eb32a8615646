/** Every scenario runs small in `npm test`; OUTERLOOP_TEST_MODELS=full runs it in full and says what it measured. */
import { writeSync } from "node:fs";

export const isFull = process.env["OUTERLOOP_TEST_MODELS"] === "full";

export function sized<Value>(quick: Value, full: Value): Value {
  return isFull ? full : quick;
}

/** For who runs it in full: what a scenario came to, a line each. */
export function tellFigures(scenario: string, figures: Readonly<Record<string, unknown>>): void {
  if (isFull) writeSync(2, `figures of ${scenario}: ${JSON.stringify(figures)}\n`);
}

export function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
