/** Reports and comparisons as a person reads them. */
import type { ComparedReports } from "./compare.ts";
import type { Report } from "./report.ts";
import { round } from "./statistics.ts";

export function renderReport(report: Report): string {
  const { machine, versions, settings } = report;
  const lines = [
    `${report.at.slice(0, 16).replace("T", " ")} UTC, ${machine.cores} × ${machine.cpu}, ${machine.memoryGb} GB, Linux ${machine.kernel}, load ${machine.load.toFixed(1)} before`,
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
    `settings: ${Object.entries(settings).length === 0 ? "the defaults" : list(settings)}`,
    ...(report.isQuick ? ["a quick run: sizes are small, figures are a first impression"] : []),
  ];
  for (const [scenario, figures] of Map.groupBy(report.figures, ({ id }) => id.split("/")[0]!)) {
    lines.push("", scenario);
    lines.push(
      ...columns(
        figures.map(({ id, median, unit, runs }) => [
          `  ${id.slice(scenario.length + 1)}`,
          text(median),
          unit,
          runs.length > 1 ? `(${runs.map(text).join(", ")})` : "",
        ]),
        [1],
      ),
    );
  }
  const judged = report.bars.filter((bar) => bar.verdict !== "not measured");
  if (judged.length > 0) {
    lines.push("", "against what GOALS asks for, by the floors of this run");
    lines.push(
      ...columns(
        judged.map((bar) => [
          `  ${bar.name}`,
          text(bar.value!),
          `must ${bar.must}`,
          bar.aim === null ? "" : `aim ${bar.aim}`,
          { aim: "PASS, aim reached", must: bar.aim === null ? "PASS" : "PASS, below the aim", below: "FAIL" }[
            bar.verdict as "aim" | "must" | "below"
          ],
        ]),
        [1],
      ),
    );
  }
  const left = report.bars.filter((bar) => bar.verdict === "not measured");
  if (left.length > 0)
    lines.push(
      "",
      judged.length === 0
        ? "nothing of what GOALS asks for was measured"
        : `not measured: ${left.map((bar) => bar.name).join("; ")}`,
    );
  for (const note of report.notes) lines.push("", `note: ${note}`);
  for (const { scenario, error } of report.failures) lines.push("", `${scenario} FAILED: ${error}`);
  return `${lines.join("\n")}\n`;
}

export function renderComparison(compared: ComparedReports): string {
  const lines = compared.warnings.map((warning) => `warning: ${warning}`);
  lines.push(
    ...columns(
      [
        ["figure", "before", "after", "after ÷ before", "", "unit"],
        ...compared.rows.map(({ id, before, after, ratio, verdict, unit }) => [
          id,
          text(before),
          text(after),
          ratio === null ? "" : ratio.toFixed(2),
          verdict === "neither" ? "" : verdict,
          unit,
        ]),
      ],
      [1, 2, 3],
    ),
  );
  if (compared.onlyBefore.length > 0) lines.push(`only before: ${compared.onlyBefore.join(", ")}`);
  if (compared.onlyAfter.length > 0) lines.push(`only after: ${compared.onlyAfter.join(", ")}`);
  return `${lines.join("\n")}\n`;
}

const text = (value: number) =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : String(round(Number(value.toFixed(3))));

const list = (settings: Readonly<Record<string, string>>) =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");

/** Padded to the widest cell of each column; those of `right` are numbers. */
function columns(rows: readonly (readonly string[])[], right: readonly number[]): readonly string[] {
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, at) => Math.max(widest[at] ?? 0, cell.length)),
    [],
  );
  return rows.map((row) =>
    row
      .map((cell, at) => (right.includes(at) ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join("  ")
      .trimEnd(),
  );
}
