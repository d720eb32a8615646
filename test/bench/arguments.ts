/** What the command line asks for. What is not known is refused: a misspelt flag would measure something else. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { partsOfGoal, type BenchOptions } from "./bench.ts";
import { defaultScenarios, scenarioNames, type ScenarioName } from "./scenarios/index.ts";

export const usage = `pnpm bench [SCENARIO …] [flags]        scenarios: ${scenarioNames.join(", ")}
pnpm bench --compare A.json B.json

  --only A,B            scenarios, as above
  --quick               small sizes, one run: under 2 minutes
  --runs N              times that each figure is measured, whose median counts (3)
  --json FILE           where the report goes (.outerloop/bench.json)
  --executors N         executor processes of \`goal\` and \`history\` (1)
  --goals A,B           sizes of \`goal\` (100,500,2000)
  --without A,B         leaves parts of \`goal\` out: ${partsOfGoal.join(", ")}
  --history-goals N     finished goals of \`history\` (1000000)
  --profile             \`goal\` once more under the profiler: functions and statements
`;

export type Arguments =
  | {
      readonly kind: "run";
      readonly scenarios: readonly ScenarioName[];
      readonly options: BenchOptions;
      readonly json: string | null;
    }
  | { readonly kind: "compare"; readonly before: string; readonly after: string }
  | { readonly kind: "help" };

/** @throws Error with what is wrong with it */
export function readArguments(args: readonly string[], cwd: string): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args].filter((arg) => arg !== "--"),
    allowPositionals: true,
    options: {
      only: { type: "string" },
      quick: { type: "boolean", default: false },
      runs: { type: "string" },
      json: { type: "string" },
      executors: { type: "string", default: "1" },
      goals: { type: "string" },
      without: { type: "string" },
      "history-goals": { type: "string", default: "1000000" },
      profile: { type: "boolean", default: false },
      compare: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return { kind: "help" };
  if (values.compare) {
    const [before, after, ...more] = positionals;
    if (before === undefined || after === undefined || more.length > 0)
      throw new Error("--compare takes two reports: --compare A.json B.json");
    return { kind: "compare", before: resolve(cwd, before), after: resolve(cwd, after) };
  }
  const chosen = [...positionals, ...listOf(values.only)].map((name) => {
    const known = scenarioNames.find((each) => each === name);
    if (known === undefined) throw new Error(`no scenario is called "${name}"; there are ${scenarioNames.join(", ")}`);
    return known;
  });
  const without = listOf(values.without).map((name) => {
    const known = partsOfGoal.find((each) => each === name);
    if (known === undefined) throw new Error(`--without ${name}: parts of goal are ${partsOfGoal.join(", ")}`);
    return known;
  });
  const scenarios = chosen.length > 0 ? scenarioNames.filter((name) => chosen.includes(name)) : defaultScenarios;
  return {
    kind: "run",
    scenarios,
    json: values.json === undefined ? null : resolve(cwd, values.json),
    options: {
      isQuick: values.quick,
      runs: values.runs === undefined ? (values.quick ? 1 : 3) : count("--runs", values.runs, 100),
      executors: count("--executors", values.executors, 64),
      sizes: values.goals === undefined ? null : listOf(values.goals).map((size) => count("--goals", size, 1_000_000)),
      without,
      historyGoals: count("--history-goals", values["history-goals"], 100_000_000),
      profiles: values.profile,
    },
  };
}

const listOf = (text: string | undefined) => (text ?? "").split(",").flatMap((each) => each.trim() || []);

function count(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max)
    throw new Error(`${flag} ${text}: must be a whole number from 1 to ${max}`);
  return value;
}
