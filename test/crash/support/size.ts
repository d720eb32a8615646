/** Every scenario runs small in `npm test` and in full by `pnpm test:crash`, which also collects its figures. */
import { appendFileSync } from "node:fs";

export const isFull = process.env["OUTERLOOP_TEST_CRASH"] === "full";

export function sized<Value>(quick: Value, full: Value): Value {
  return isFull ? full : quick;
}

/** Keeps what a scenario came to, for docs/reliability.md. */
export function recordFigures(scenario: string, figures: Readonly<Record<string, unknown>>): void {
  const file = process.env["OUTERLOOP_TEST_CRASH_FIGURES"];
  if (file !== undefined)
    appendFileSync(file, `${JSON.stringify({ scenario, size: isFull ? "full" : "quick", figures })}\n`);
}
