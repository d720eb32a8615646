/** pnpm simulate [--seeds N] [--from S] [--seed S [--steps]]: simulates seeds and says what did not hold. */
import { parseArgs } from "node:util";
import { simulateSeeds } from "./seeds.ts";
import { simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    /** How many, and from which on. */
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    /** One, with what led to its violation; with all that happened. */
    seed: { type: "string" },
    steps: { type: "boolean", default: false },
  },
});
/** Operations before a violation that are shown without --steps. */
const shown = 40;

const say = (line: string) => process.stdout.write(`${line}\n`);
process.exitCode = values.seed === undefined ? await many() : await one(Number(values.seed));

async function one(seed: number): Promise<number> {
  const result = await simulate({ seed, trace: true });
  for (const line of values.steps ? result.trace : result.violation === null ? [] : result.trace.slice(-shown))
    say(line);
  say(
    `seed ${seed}: ${result.operations} operations, ${result.events} events, ${Math.round(result.virtualMs / 1000)} s of virtual time, trace ${result.hash}`,
  );
  say(result.violation === null ? "everything holds" : `broken: ${result.violation.message}`);
  return result.violation === null ? 0 : 1;
}

async function many(): Promise<number> {
  const result = await simulateSeeds(Number(values.from), Number(values.seeds), (seed, what) =>
    say(`seed ${seed} breaks ${what}\n  again: pnpm simulate --seed ${seed}`),
  );
  const { seeds, operations, minutes, violations, ends } = result;
  say(
    `${seeds} seeds, ${operations} operations, ${Math.round(seeds / minutes)} seeds a minute, ${violations.length} violations`,
  );
  say(`goals: ${[...ends].map(([end, times]) => `${times} ${end}`).join(", ")}`);
  return violations.length === 0 ? 0 : 1;
}
