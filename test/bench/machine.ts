/** Where and with what it was measured: a figure without it says nothing. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import type { Report } from "./report.ts";
import type { BenchServers } from "./servers.ts";

export function describeMachine(): Report["machine"] {
  return {
    cpu: cpus()[0]?.model.trim() ?? "?",
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    load: loadavg()[0] ?? 0,
  };
}

export function describeVersions(servers: Pick<BenchServers, "versions">): Report["versions"] {
  return {
    outerloop: commit(),
    node: process.version,
    postgresql: servers.versions.postgres,
    valkey: servers.versions.valkey,
    bullmq: versionOf("bullmq"),
    ioredis: versionOf("ioredis"),
    pg: versionOf("pg"),
  };
}

function versionOf(name: string): string {
  // Beside its entry point somewhere: not every package lets its package.json be imported.
  const require = createRequire(import.meta.url);
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return (JSON.parse(readFileSync(`${folder}/${name}/package.json`, "utf8")) as { readonly version: string })
        .version;
    } catch {
      // Not in this folder.
    }
  }
  return "?";
}

function commit(): string {
  const git = (...args: readonly string[]) => execFileSync("git", args, { encoding: "utf8", stdio: "pipe" }).trim();
  try {
    return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain") === "" ? "" : " with changes"}`;
  } catch {
    return "?";
  }
}
