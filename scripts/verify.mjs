// npm run verify: everything that CI runs. Goes on after a failure, so that one run tells all of them.
//
// Prints each check's outcome, vitest's report, and at the end one line: N passed, N failed[, N skipped].
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { delimiter } from "node:path";
import { ensureInstalled } from "./setup/ensure-installed.mjs";
import { nodeBinary } from "./setup/node-binary.mjs";
import { rootPath } from "./setup/root.mjs";
import { countTests } from "./test-counts.mjs";

const checks = ["check", "lint", "format:check", "check:imports", "knip"];
const results = `${rootPath}.outerloop/test-results.json`;

await ensureInstalled("dev");

const { scripts } = JSON.parse(fs.readFileSync(`${rootPath}package.json`, "utf8"));
const failed = checks.filter((name) => !runCheck(name));
const testsPassed = runTests();
const counts = countTests(results);

if (failed.length > 0) process.stdout.write(`failed checks: ${failed.join(", ")}\n`);
if (!testsPassed && counts.failed === 0) counts.failed = 1; // vitest itself failed, such as by an unhandled error
const skipped = counts.skipped === 0 ? "" : `, ${counts.skipped} skipped`;
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed${skipped}\n`);
process.exitCode = failed.length === 0 && testsPassed ? 0 : 1;

function runCheck(name) {
  const startedAt = performance.now();
  // As `npm run` would, without npm's own lines; on our Node also where the machine's is older.
  const path = [`${rootPath}node_modules/.bin`, process.env.PATH].join(delimiter);
  const options = { cwd: rootPath, shell: true, encoding: "utf8", env: { ...process.env, PATH: path } };
  const { status, stdout, stderr } = spawnSync(scripts[name], options);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`${status === 0 ? "ok    " : "FAILED"} ${name}  ${seconds} s\n`);
  if (status !== 0) process.stdout.write(`${stdout}${stderr}`);
  return status === 0;
}

function runTests() {
  fs.rmSync(results, { force: true });
  const args = ["scripts/test.mjs", "--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
  return spawnSync(nodeBinary(), args, { cwd: rootPath, stdio: "inherit" }).status === 0;
}
