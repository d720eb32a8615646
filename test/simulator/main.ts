/** node test/simulator/main.ts [--seeds N] [--seed S] [--steps]: simulates seeds and says what did not hold. */
import { parseArgs } from "node:util";
import { simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    steps: { type: "boolean", default: false },
  },
});

const say = (line: string) => process.stdout.write(`${line}\n`);
const single = values.seed === undefined ? null : Number(values.seed);
const from = single ?? Number(values.from);
const count = single === null ? Number(values.seeds) : 1;

const begun = performance.now();
const violations: { readonly seed: number; readonly what: string }[] = [];
const ends = new Map<string, number>();
let operations = 0;
for (let seed = from; seed < from + count; seed += 1) {
  const result = await simulate({ seed, trace: single !== null });
  operations += result.operations;
  for (const [end, times] of Object.entries(result.ends)) ends.set(end, (ends.get(end) ?? 0) + times);
  if (values.steps) for (const line of result.trace) say(line);
  if (single !== null)
    say(
      `seed ${seed}: hash ${result.hash}, ${result.operations} operations, ${result.events} events, ${Math.round(result.virtualMs / 1000)} s of virtual time`,
    );
  if (result.violation === null) continue;
  violations.push({ seed, what: result.violation.message });
  say(`seed ${seed} breaks ${result.violation.message}`);
  if (single !== null && !values.steps) for (const line of result.trace.slice(-40)) say(`  ${line}`);
}
const minutes = (performance.now() - begun) / 60_000;
say(
  `${count} seeds, ${operations} operations, ${Math.round(count / minutes)} seeds a minute, ${violations.length} violations`,
);
say([...ends].map(([end, times]) => `${end} ${times}`).join(", "));
for (const { seed, what } of violations.slice(0, 20)) say(`  pnpm simulate --seed ${seed}   # ${what}`);
process.exitCode = violations.length === 0 ? 0 : 1;
