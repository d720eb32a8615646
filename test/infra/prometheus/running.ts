/** A Prometheus that runs, with our rules and a configuration of the test's. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parse, stringify } from "yaml";
import { z } from "zod";
import type { PrometheusPrograms } from "./programs.ts";
import { infraPath } from "./programs.ts";

const sampleSchema = z.object({
  metric: z.record(z.string(), z.string()),
  value: z.tuple([z.number(), z.string()]).transform(([, value]) => Number(value)),
});
const alertSchema = z.object({ labels: z.record(z.string(), z.string()), state: z.enum(["pending", "firing"]) });
const ruleSchema = z.object({ name: z.string(), health: z.string(), lastError: z.string().optional() });

export interface RunningPrometheus {
  query(expr: string): Promise<readonly z.infer<typeof sampleSchema>[]>;
  /** Pending and firing ones. */
  alerts(): Promise<readonly z.infer<typeof alertSchema>[]>;
  rules(): Promise<readonly z.infer<typeof ruleSchema>[]>;
  stop(): Promise<void>;
}

/** With everything of infra/prometheus/prometheus.yml but its targets and its pace. */
export async function startPrometheus(
  { prometheus: program }: PrometheusPrograms,
  scrapeConfigs: readonly object[],
): Promise<RunningPrometheus> {
  const folder = await mkdtemp(join(tmpdir(), "outerloop-prometheus-"));
  const example = parse(await readFile(`${infraPath}prometheus/prometheus.yml`, "utf8")) as { rule_files: string[] };
  const config = {
    ...example,
    global: { scrape_interval: "1s", evaluation_interval: "1s" },
    rule_files: example.rule_files.map((file) => `${infraPath}prometheus/${file}`),
    scrape_configs: scrapeConfigs,
  };
  await writeFile(join(folder, "prometheus.yml"), stringify(config));
  const child = spawn(
    program,
    [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      "--web.listen-address=127.0.0.1:0",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const exited = new Promise((resolve) => child.once("close", resolve));
  const url = await new Promise<string>((resolve, reject) => {
    let address: string | undefined;
    let isReady = false;
    let log = "";
    createInterface({ input: child.stderr }).on("line", (line) => {
      log += `${line}\n`;
      // The two come in either order.
      address ??= /msg="Listening on" address=(\S+)/.exec(line)?.[1];
      isReady ||= line.includes("ready to receive web requests");
      if (isReady && address !== undefined) resolve(`http://${address}`);
    });
    child.once("close", () => reject(new Error(`Prometheus ended:\n${log}`)));
    child.once("error", reject);
  });
  const get = async <T>(path: string, data: z.ZodType<T>): Promise<T> => {
    const response = await fetch(`${url}/api/v1/${path}`);
    return z.object({ status: z.literal("success"), data }).parse(await response.json()).data;
  };
  return {
    query: async (expr) =>
      (await get(`query?query=${encodeURIComponent(expr)}`, z.object({ result: z.array(sampleSchema) }))).result,
    alerts: async () => (await get("alerts", z.object({ alerts: z.array(alertSchema) }))).alerts,
    rules: async () =>
      (await get("rules", z.object({ groups: z.array(z.object({ rules: z.array(ruleSchema) })) }))).groups.flatMap(
        (group) => group.rules,
      ),
    async stop() {
      child.kill("SIGTERM");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
