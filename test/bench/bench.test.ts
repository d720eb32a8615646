/** That the bench measures at all; what it measures is no test's matter. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { describeWithServers } from "../support/servers.ts";
import { reportSchema, valueOf } from "./report.ts";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

describeWithServers("pnpm bench", () => {
  test("runs real goals in separate processes and writes a report", { timeout: 120_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "outerloop-bench-test-"));
    try {
      const json = join(folder, "report.json");
      const { stdout } = await promisify(execFile)(process.execPath, [
        main,
        "goal",
        "--quick",
        "--goals=2",
        "--without=flows,alone,counts,memory_off",
        `--json=${json}`,
      ]);
      const { figures, failures, scenarios, isQuick } = reportSchema.parse(JSON.parse(readFileSync(json, "utf8")));
      expect({ failures, scenarios, isQuick }).toEqual({ failures: [], scenarios: ["goal"], isQuick: true });
      expect(valueOf(figures, "goal/2/goals_per_second")).toBeGreaterThan(0);
      // A kilobyte a step, as the workload is defined.
      expect(valueOf(figures, "goal/2/step_output_bytes")).toBeGreaterThan(700);
      for (const kind of ["postgres", "valkey", "ingress", "planner", "executor", "reflector"])
        expect(valueOf(figures, `goal/2/memory_mb/${kind}`), kind).toBeGreaterThan(0);
      expect(stdout).toContain("2/goals_per_second");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("refuses what it does not know, and measures nothing", async () => {
    await expect(promisify(execFile)(process.execPath, [main, "--fats"])).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--fats") as string,
    });
  });
});
