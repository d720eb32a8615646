/** Prometheus' own programs: what they say of our files, and one that runs. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe } from "vitest";
import { ensurePrograms, howToInstall, prometheus } from "../../../scripts/servers/programs.mjs";
import { notRun } from "../../support/servers.ts";

export const infraPath = fileURLToPath(new URL("../../../infra/", import.meta.url));

export type PrometheusPrograms = Readonly<Record<"prometheus" | "promtool", string>>;

const programs = await ensurePrograms(prometheus);

/** Registers a suite that needs them; where they can be neither found nor installed it is told as not run. */
export function describeWithPrometheus(title: string, body: (programs: PrometheusPrograms) => void): void {
  if (programs === undefined) notRun(title, `Prometheus with promtool not found: ${howToInstall(prometheus)}`);
  else describe(title, () => body(programs));
}

const run = promisify(execFile);

export interface Told {
  readonly ok: boolean;
  readonly text: string;
}

/** What promtool says, from the folder of our files. */
export async function promtool({ promtool: program }: PrometheusPrograms, ...args: readonly string[]): Promise<Told> {
  try {
    const { stdout, stderr } = await run(program, args, { cwd: `${infraPath}prometheus` });
    return { ok: true, text: stdout + stderr };
  } catch (thrown) {
    const { stdout, stderr } = thrown as { stdout?: string; stderr?: string };
    if (stdout === undefined) throw thrown;
    return { ok: false, text: stdout + (stderr ?? "") };
  }
}
