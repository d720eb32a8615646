/** Outerloop in each of its sizes (DESIGN §4), as real processes. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type Client } from "@outerloop/client";
import { isReady, startProcess, type ServiceProcess } from "./processes.ts";
import { cloneDatabase, redisDatabase } from "./servers.ts";

export type Size = "embedded" | "postgres" | "redis";
export const realSizes = ["postgres", "redis"] as const satisfies readonly Size[];

export interface Deployment {
  readonly size: Size;
  readonly client: Client;
  readonly url: string;
  readonly apiKey: string;
  /** Of the database itself, whatever stands between it and the processes. Empty for the embedded one. */
  readonly databaseUrl: string;
  /** What every process of it is given. */
  readonly env: Readonly<Record<string, string>>;
  /** The running processes by name: `embedded`, or `ingress`, `planner`, `executor-1`, `reflector`. */
  readonly processes: Map<string, ServiceProcess>;
  /** Starts one more, or one again after it was killed. `checkout`: from another one than the deployment's. */
  start(
    service: string,
    name?: string,
    env?: Readonly<Record<string, string>>,
    checkout?: string,
  ): Promise<ServiceProcess>;
  /** SIGTERM to all; resolves with how each ended. */
  stop(): Promise<readonly (number | NodeJS.Signals)[]>;
}

export interface DeploymentOptions {
  readonly size: Size;
  readonly env?: Readonly<Record<string, string>>;
  readonly executors?: number;
  /** Starts nothing but ingress. */
  readonly onlyIngress?: boolean;
  /** Whose code runs, where it is not this one's. */
  readonly checkout?: string;
  /** What a process reaches the servers by, where that is not directly. */
  readonly through?: (env: {
    readonly databaseUrl: string;
    readonly redisUrl: string;
  }) => Promise<Readonly<Record<string, string>>>;
}

export async function deploy(options: DeploymentOptions): Promise<Deployment> {
  const dataDir = await mkdtemp(join(tmpdir(), "outerloop-data-"));
  const apiKey = `ol_${randomBytes(24).toString("base64url")}`;
  const env: Record<string, string> = {
    OUTERLOOP_DATA_DIR: dataDir,
    OUTERLOOP_API_KEY: apiKey,
    PORT: "0",
    OUTERLOOP_RECONCILE_MS: "500",
    OUTERLOOP_LEASE_MS: "2000",
    ...options.env,
  };
  if (options.size !== "embedded") env["DATABASE_URL"] ??= (await cloneDatabase()).url;
  if (options.size === "redis") env["REDIS_URL"] ??= await redisDatabase();
  const databaseUrl = env["DATABASE_URL"] ?? "";
  if (options.through !== undefined)
    Object.assign(env, await options.through({ databaseUrl, redisUrl: env["REDIS_URL"] ?? "" }));

  const processes = new Map<string, ServiceProcess>();
  const start: Deployment["start"] = async (service, name = service, extra = {}, checkout = options.checkout) => {
    const child = startProcess(name, `services/${service}/src/main.ts`, { ...env, ...extra }, [], checkout);
    processes.set(name, child);
    await child.until(isReady, "it was ready");
    return child;
  };

  const front = await start(options.size === "embedded" ? "embedded" : "ingress");
  const { url } = await front.until(isReady, "it was ready");
  if (options.size !== "embedded" && options.onlyIngress !== true) {
    const executors = Array.from({ length: options.executors ?? 1 }, (_, index) =>
      start("executor", `executor-${index + 1}`),
    );
    await Promise.all([start("planner"), start("reflector"), ...executors]);
  }
  return {
    size: options.size,
    client: createClient({ baseUrl: String(url), apiKey }),
    url: String(url),
    apiKey,
    databaseUrl,
    env,
    processes,
    start,
    async stop() {
      for (const child of processes.values()) child.kill("SIGTERM");
      const ends = await Promise.all([...processes.values()].map((child) => child.exited));
      await rm(dataDir, { recursive: true, force: true });
      return ends;
    },
  };
}
