/** What the profiler found, to read: where the database's time went, and that of each process. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { topFunctions } from "./profiles.ts";
import type { CountedStatement } from "./statements.ts";

const shownStatements = 40;
const shownFunctions = 15;
const queryChars = 150;

export function printProfile(
  folder: string,
  statements: readonly CountedStatement[],
  profiledGoals: number,
  countedGoals: number,
): void {
  const lines = ["", "ms/goal  calls/goal  sent  statement (one that another ran counts in that one's time too)"];
  for (const { query, calls, totalMs, isTopLevel } of statements.slice(0, shownStatements))
    lines.push(
      `${(totalMs / countedGoals).toFixed(3).padStart(7)}  ${(calls / countedGoals).toFixed(2).padStart(10)}  ${isTopLevel ? "sent" : "    "}  ${query.slice(0, queryChars)}`,
    );
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".cpuprofile"))) {
    lines.push("", `${join(folder, file)}: ms a goal in the function itself, its start included`);
    for (const { name, selfMs } of topFunctions(join(folder, file), shownFunctions))
      lines.push(`${(selfMs / profiledGoals).toFixed(3).padStart(8)}  ${name}`);
  }
  process.stdout.write(`${lines.join("\n")}\n\n`);
}
