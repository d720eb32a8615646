/** pnpm bench: docs/bench.md says what it measures and how. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { readArguments, usage, type Arguments } from "./arguments.ts";
import { judge } from "./bars.ts";
import { compareReports } from "./compare.ts";
import { settingsOfCaller } from "./deployment.ts";
import { describeMachine, describeVersions } from "./machine.ts";
import { endProcesses } from "./processes.ts";
import { createFigures, reportSchema, sharedMachine, type Report } from "./report.ts";
import { scenarios } from "./scenarios/index.ts";
import { startServers, type BenchServers } from "./servers.ts";
import { renderComparison, renderReport } from "./table.ts";

const defaultJson = fileURLToPath(new URL("../../.outerloop/bench.json", import.meta.url));
const cwd = process.env["OUTERLOOP_CWD"] ?? process.cwd();

let isInterrupted = false;
let asked: Arguments;
try {
  asked = readArguments(process.argv.slice(2), cwd);
} catch (thrown) {
  process.stderr.write(`${(thrown as Error).message}\n\n${usage}`);
  process.exit(2);
}

switch (asked.kind) {
  case "help":
    process.stdout.write(usage);
    break;
  case "compare":
    process.stdout.write(renderComparison(compareReports(readReport(asked.before), readReport(asked.after))));
    break;
  case "run": {
    const report = await run(asked);
    const file = asked.json ?? defaultJson;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(`\n${renderReport(report)}\n${file}\n`);
    if (report.failures.length > 0) process.exitCode = 1;
  }
}

async function run({ scenarios: names, options }: Extract<Arguments, { kind: "run" }>): Promise<Report> {
  const startedAt = new Date();
  const machine = describeMachine();
  const say = (text: string) =>
    process.stderr.write(`${Math.round((Date.now() - startedAt.getTime()) / 1000)} s  ${text}\n`);
  say("starting PostgreSQL and Valkey");
  const servers = await startServers();
  const interrupted = whenInterrupted(servers);
  const figures = createFigures();
  const notes: string[] = [];
  const failures: { scenario: string; error: string }[] = [];
  try {
    for (const name of names) {
      try {
        await scenarios[name]({ servers, options, figures, say, note: (text) => void notes.push(text) });
      } catch (thrown) {
        if (isInterrupted) await interrupted;
        // The others have their say all the same.
        const error = thrown instanceof Error ? thrown.message : String(thrown);
        failures.push({ scenario: name, error });
        say(`${name} failed: ${error}`);
      }
    }
    const shared = sharedMachine(figures.all());
    if (shared !== null) notes.push(shared);
    return reportSchema.parse({
      format: 1,
      at: startedAt.toISOString(),
      isQuick: options.isQuick,
      scenarios: names,
      machine,
      versions: describeVersions(servers),
      settings: settingsOfCaller(),
      figures: figures.all(),
      bars: judge(figures.all()),
      notes,
      failures,
    });
  } finally {
    await servers.close();
  }
}

/** Never resolves: the process ends when all that it started has ended. */
function whenInterrupted(servers: BenchServers): Promise<never> {
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      // One Ctrl-C may arrive more than once.
      if (isInterrupted) return;
      isInterrupted = true;
      endProcesses();
      void servers.close().finally(() => process.exit(130));
    });
  return new Promise(() => undefined);
}

function readReport(file: string): Report {
  return reportSchema.parse(JSON.parse(readFileSync(file, "utf8")));
}
