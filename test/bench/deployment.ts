/** Outerloop as it is measured: ingress, planner, executors and reflector, each a process, or all of it in one. */
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { cpuMs, memoryMb, peakMemoryMb } from "./cpu.ts";
import { makeFolder, removeFolder } from "./folders.ts";
import { startProcess, type BenchProcess } from "./processes.ts";
import type { BenchServers } from "./servers.ts";

const skill = fileURLToPath(new URL("skills/look-up.ts", import.meta.url));

export interface DeploymentOptions {
  readonly servers: BenchServers;
  readonly executors: number;
  /** The door alone: goals are taken and none moves. */
  readonly onlyIngress?: boolean;
  /** How long a model call takes. */
  readonly delayMs?: number;
  /** Beside what the bench sets and what the caller's own OUTERLOOP_* variables say. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where each process writes a CPU profile when it ends; none without it. */
  readonly profileFolder?: string | undefined;
  /** Instead of a new one. */
  readonly databaseUrl?: string;
}

/** Who spends CPU: several processes of one kind count together. */
export const kinds = ["postgres", "valkey", "ingress", "planner", "executor", "reflector", "embedded"] as const;
export type Kind = (typeof kinds)[number];
export type PerKind = Readonly<Partial<Record<Kind, number>>>;

export interface Deployment {
  readonly url: string;
  readonly apiKey: string;
  /** null for the embedded database. */
  readonly databaseUrl: string | null;
  /** CPU so far. */
  cpu(): PerKind;
  /** In MB: of our processes the most that they had, of the servers what they have now. */
  memory(): PerKind;
  processes(kind: Kind): readonly BenchProcess[];
  start(kind: "planner" | "executor" | "reflector"): Promise<BenchProcess>;
  stop(): Promise<void>;
}

/** What the caller's shell says of the runtime reaches its processes, so that settings can be tried: OUTERLOOP_EXECUTOR_SLOTS=32 pnpm bench goal. */
export function settingsOfCaller(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      /^OUTERLOOP_(?!TEST_|BENCH_)/.test(name) && !ownVariables.has(name) && value !== undefined ? [[name, value]] : [],
    ),
  );
}
/** Those by which the shell's script talks to what it starts, and those that the bench sets itself. */
const ownVariables = new Set([
  "OUTERLOOP_CWD",
  "OUTERLOOP_PARENT_FD",
  "OUTERLOOP_DATA_DIR",
  "OUTERLOOP_API_KEY",
  "OUTERLOOP_SKILL_MODULES",
]);

export async function deploy(options: DeploymentOptions): Promise<Deployment> {
  const { servers } = options;
  const databaseUrl = options.databaseUrl ?? (await servers.createDatabase());
  const folder = makeFolder();
  const apiKey = `ol_${randomBytes(24).toString("base64url")}`;
  const env = {
    ...baseEnv(folder, apiKey, options),
    DATABASE_URL: databaseUrl,
    REDIS_URL: servers.valkey.url,
    // Deployments share one Valkey; none may take another's jobs.
    OUTERLOOP_QUEUE_PREFIX: `bench-${randomBytes(4).toString("hex")}`,
  };
  const running: { readonly kind: Kind; readonly process: BenchProcess }[] = [];
  const start = async (kind: Kind, main: string, args: readonly string[] = []) => {
    const name = `${kind}-${running.filter((each) => each.kind === kind).length + 1}`;
    const started = await startProcess({ name, main, args, env, folder, nodeFlags: profileFlags(options, name) });
    running.push({ kind, process: started });
    return started;
  };
  const startWorker: Deployment["start"] = (kind) => start(kind, "test/bench/worker.ts", [kind]);
  const stop = async () => {
    await Promise.all(running.map((each) => each.process.stop()));
    if (options.databaseUrl === undefined) await servers.dropDatabase(databaseUrl);
    await servers.settle();
    removeFolder(folder);
  };
  try {
    // First and alone: it migrates.
    const ingress = await start("ingress", "services/ingress/src/main.ts");
    if (options.onlyIngress !== true) {
      await Promise.all([startWorker("planner"), startWorker("reflector")]);
      for (let index = 0; index < options.executors; index += 1) await startWorker("executor");
    }
    const pidsOf = (kind: Kind) => running.filter((each) => each.kind === kind).map((each) => each.process.pid);
    const each = (measure: (pid: number) => number, ofServer = measure): PerKind => ({
      postgres: ofServer(servers.postgres.pid()),
      valkey: ofServer(servers.valkey.pid()),
      ...Object.fromEntries(
        (["ingress", "planner", "executor", "reflector"] as const).map((kind) => [
          kind,
          pidsOf(kind).reduce((sum, pid) => sum + measure(pid), 0),
        ]),
      ),
    });
    return {
      url: String(ingress.ready["url"]),
      apiKey,
      databaseUrl,
      cpu: () => each(cpuMs),
      memory: () => each(peakMemoryMb, memoryMb),
      processes: (kind) => running.filter((one) => one.kind === kind).map((one) => one.process),
      start: startWorker,
      stop,
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** The smallest size: PGlite and the queue in one process. @param answers the model of the bench, or the offline one */
export async function deployEmbedded(
  options: Omit<DeploymentOptions, "servers" | "executors">,
  answers: "bench" | "offline" = "bench",
): Promise<Deployment> {
  const folder = makeFolder();
  const apiKey = `ol_${randomBytes(24).toString("base64url")}`;
  const child = await startProcess({
    name: "embedded-1",
    main: "test/bench/worker.ts",
    args: [answers === "bench" ? "embedded" : "offline"],
    env: baseEnv(folder, apiKey, options),
    folder,
    nodeFlags: profileFlags(options, "embedded-1"),
  });
  return {
    url: String(child.ready["url"]),
    apiKey,
    databaseUrl: null,
    cpu: () => ({ embedded: cpuMs(child.pid) }),
    memory: () => ({ embedded: peakMemoryMb(child.pid) }),
    processes: (kind) => (kind === "embedded" ? [child] : []),
    start: () => Promise.reject(new Error("the embedded size has one process")),
    async stop() {
      await child.stop();
      removeFolder(folder);
    },
  };
}

function baseEnv(folder: string, apiKey: string, options: Pick<DeploymentOptions, "delayMs" | "env">) {
  return {
    // The workload has 22 steps in each of the systems that it compares; intake would be a 23rd in one.
    OUTERLOOP_INTAKE: "off",
    ...settingsOfCaller(),
    OUTERLOOP_DATA_DIR: folder,
    OUTERLOOP_API_KEY: apiKey,
    OUTERLOOP_SKILL_MODULES: skill,
    OUTERLOOP_BENCH_DELAY_MS: String(options.delayMs ?? 0),
    PORT: "0",
    ...options.env,
  };
}

function profileFlags({ profileFolder }: Pick<DeploymentOptions, "profileFolder">, name: string): readonly string[] {
  return profileFolder === undefined
    ? []
    : ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`, `--cpu-prof-name=${name}.cpuprofile`];
}
