// pnpm test:crash [-- VITEST ARGUMENT …]: every crash scenario in its full size, one after the other, about an hour.
//
// Writes what each came to into .outerloop/crash-figures.json, and as a table into .outerloop/crash-figures.md.
import fs from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { spawnSync } from "node:child_process";
import { installMissing } from "./servers/install.mjs";
import { ensureInstalled } from "./setup/ensure-installed.mjs";
import { nodeBinary } from "./setup/node-binary.mjs";
import { rootPath } from "./setup/root.mjs";

const folder = `${rootPath}.outerloop`;
const lines = `${folder}/crash-figures.jsonl`;

await ensureInstalled("dev");
await installMissing();
fs.mkdirSync(folder, { recursive: true });
fs.rmSync(lines, { force: true });

// One after the other: figures of scenarios that share the machine would tell of one another.
const args = ["node_modules/vitest/vitest.mjs", "run", "--no-file-parallelism", "--reporter=verbose"];
const scenarios = process.argv.length > 2 ? process.argv.slice(2) : ["test/crash"];
const env = { ...process.env, OUTERLOOP_TEST_CRASH: "full", OUTERLOOP_TEST_CRASH_FIGURES: lines };
const { status } = spawnSync(nodeBinary(), [...args, ...scenarios], { cwd: rootPath, stdio: "inherit", env });

const figures = fs.existsSync(lines)
  ? fs
      .readFileSync(lines, "utf8")
      .trim()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  : [];
const machine = `${cpus()[0]?.model ?? "?"}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GB`;
fs.writeFileSync(
  `${folder}/crash-figures.json`,
  `${JSON.stringify({ at: new Date().toISOString(), machine, figures }, null, 2)}\n`,
);
fs.writeFileSync(`${folder}/crash-figures.md`, table());
process.stdout.write(`figures: ${folder}/crash-figures.md\n`);
process.exitCode = status ?? 1;

function table() {
  const shared = new Set(["broken", "goals", "ends", "journaledSteps", "effects", "modelCallsRepeated", "settledMs"]);
  const rows = figures.map(({ scenario, figures: each }) => {
    const own = Object.entries(each).filter(([name]) => !shared.has(name));
    const cells = [
      scenario,
      each.goals,
      Object.entries(each.ends)
        .map(([status, count]) => `${count} ${status}`)
        .join(", "),
      each.journaledSteps,
      each.effects,
      each.modelCallsRepeated,
      (each.settledMs / 1000).toFixed(1),
      each.broken.length === 0 ? "holds" : `${each.broken.length} broken`,
      own.map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", "),
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return [
    `${new Date().toISOString().slice(0, 10)}, ${machine}`,
    "",
    "| scenario | goals | ended | steps | effects | model calls repeated | done after, s | CHECK | more |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}
