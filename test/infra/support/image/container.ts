/**
 * Runs a command in a root as a runtime of containers would: as process 1 of its own process namespace, as the user and
 * with the environment that the image says, with mounts that nobody else sees. The network is this machine's.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { watchProcess, type ServiceProcess } from "../../../support/processes.ts";

/** A root as images keep it: folders over one another. */
export interface Layers {
  /** The topmost first: what is changed is written there. */
  readonly folders: readonly string[];
  /** Two empty folders on the same file system, `root` to mount at and `work` for the kernel. */
  readonly scratch: string;
}

export interface Enter {
  readonly layers: Layers;
  /** UID:GID. */
  readonly user: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  /** Folders of this machine by where they appear inside. */
  readonly binds?: Readonly<Record<string, string>>;
  /** A file of authorities that Node, npm and pnpm trust besides their own; nothing of it stays in the root. */
  readonly certificates?: string | null;
  /** Whether nothing can be written but `binds` and `/tmp`, which is memory. */
  readonly readOnly: boolean;
}

/** Ends with all its processes when this process does. */
function enter(command: readonly string[], options: Enter): ChildProcess {
  const trusting = options.certificates ? { NODE_EXTRA_CA_CERTS: certificatesInside } : {};
  return inNamespace(enterScript(command, options), { ...options.env, ...trusting });
}

/** What it printed, and its exit code. */
export async function runInside(
  command: readonly string[],
  options: Enter,
): Promise<{ readonly code: number | null; readonly output: string }> {
  return outcome(enter(command, options));
}

/** A service in a container; `kill` signals its process 1. */
export function startInside(name: string, command: readonly string[], options: Enter): ServiceProcess {
  const child = enter(command, options);
  return {
    ...watchProcess(name, child),
    kill: (signal) => {
      // unshare itself only waits; its one child is process 1 inside.
      const inside = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
      if (inside !== "") process.kill(Number(inside), signal);
    },
  };
}

/** Runs a script on this machine with roots mounted, each at the `root` of its scratch folder, the first writable. */
export async function withMounted(
  [target, ...sources]: readonly [Layers, ...Layers[]],
  script: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const mounts = [mountLayers(target, true), ...sources.map((source) => mountLayers(source, false))];
  return outcome(inNamespace([...mounts, script].join("\n"), { PATH: process.env["PATH"] ?? "" }));
}

/** For a shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function inNamespace(script: string, env: Readonly<Record<string, string>>): ChildProcess {
  return spawn("unshare", ["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function outcome(child: ChildProcess): Promise<{ readonly code: number | null; readonly output: string }> {
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (chunk: Buffer) => (output += String(chunk)));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output };
}

const certificatesInside = "/run/certificates.crt";

function enterScript(command: readonly string[], options: Enter): string {
  const { layers, user, workdir, binds = {}, certificates, readOnly } = options;
  const root = `${layers.scratch}/root`;
  const inside = (path: string) => quote(`${root}${path}`);
  return [
    mountLayers(layers, !readOnly),
    `mount -t proc proc ${inside("/proc")}`,
    `mount --rbind /dev ${inside("/dev")}`,
    ...["/etc/resolv.conf", "/etc/hosts"].map((path) => `mount --bind ${path} ${inside(path)}`),
    ...(readOnly ? [`mount -t tmpfs tmpfs ${inside("/tmp")}`] : []),
    ...(certificates
      ? [`mount -t tmpfs tmpfs ${inside("/run")}`, `cp ${quote(certificates)} ${inside(certificatesInside)}`]
      : []),
    ...Object.entries(binds).flatMap(([path, from]) => [
      ...(readOnly ? [] : [`mkdir -p ${inside(path)}`]),
      `mount --bind ${quote(from)} ${inside(path)}`,
    ]),
    `exec chroot --userspec=${quote(user)} ${quote(root)} env --chdir=${quote(workdir)} ${command.map(quote).join(" ")}`,
  ].join("\n");
}

function mountLayers({ folders, scratch }: Layers, writable: boolean): string {
  const [top, ...lower] = folders;
  const options = writable
    ? `lowerdir=${lower.join(":")},upperdir=${top},workdir=${scratch}/work`
    : `ro,lowerdir=${folders.join(":")}`;
  return `mount -t overlay overlay -o ${quote(options)} ${quote(`${scratch}/root`)}`;
}
