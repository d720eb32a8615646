/**
 * Runs pods of rendered manifests as processes of this machine, as a kubelet runs them: what their containers are told and
 * nothing else, init containers first, probes by their periods, timeouts and thresholds, preStop before SIGTERM. It takes
 * the checkout for the image, free ports for those of a pod's own address, and folders for its volumes.
 */
import { createServer, type AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startProcess, type ServiceProcess } from "../../../support/processes.ts";
import {
  nameOf,
  ofKind,
  type Container,
  type KubernetesObject,
  type Labels,
  type PodTemplate,
  type Probe,
} from "./objects.ts";

export interface Cluster {
  readonly objects: readonly KubernetesObject[];
  /** Secrets by name. */
  readonly secrets: Readonly<Record<string, Labels>>;
}

export interface Pod {
  readonly name: string;
  /** Resolves when its startup and then its readiness probe passed; rejects with what it said when it never gets there. */
  readonly ready: Promise<void>;
  /** Running init containers, then the service. */
  readonly running: () => readonly ServiceProcess[];
  /** Where a named port of it is. */
  url(port: string): string;
  /** One probe now. */
  probe(which: "livenessProbe" | "readinessProbe"): Promise<boolean>;
  signal(signal: NodeJS.Signals): void;
  /** Where on this machine a folder of it is. */
  folder(mountPath: string): string;
  /** Kills what still runs of it, and takes its volumes away. */
  close(): Promise<void>;
  /** preStop, then SIGTERM; how it ended, and how much of its grace period that took. */
  terminate(): Promise<{
    readonly end: number | NodeJS.Signals;
    readonly seconds: number;
    readonly graceSeconds: number;
  }>;
}

export async function runJob(cluster: Cluster, job: KubernetesObject): Promise<ServiceProcess> {
  const { spec } = job["spec"].template as PodTemplate;
  const place = await openPlace(spec);
  const process = start(cluster, nameOf(job), spec.containers[0]!, place);
  void process.exited.then(() => place.close());
  return process;
}

export async function startPod(cluster: Cluster, deployment: KubernetesObject): Promise<Pod> {
  const { spec } = deployment["spec"].template as PodTemplate;
  const name = deployment.metadata.name;
  const place = await openPlace(spec);
  const service = spec.containers[0]!;
  const running: ServiceProcess[] = [];
  let isOver = false;
  const url = (port: string) => `http://127.0.0.1:${place.ports.get(port)}`;
  const probe = (what: Probe) => probeOnce(url(String(what.httpGet!.port)) + what.httpGet!.path, what);

  const begin = async () => {
    for (const container of spec.initContainers ?? []) {
      const process = start(cluster, `${name}/${container.name}`, container, place);
      running.push(process);
      const end = await process.exited;
      if (end !== 0) throw new Error(`${process.name} ended with ${end}: ${process.text()}`);
    }
    const process = start(cluster, name, service, place);
    running.push(process);
    const ended = process.exited.then((end) => {
      isOver = true;
      throw new Error(`${name} ended with ${end} before it was ready: ${process.text()}`);
    });
    // That it ends later is no failure of its start.
    ended.catch(() => undefined);
    for (const which of ["startupProbe", "readinessProbe"] as const) await Promise.race([passes(which), ended]);
  };
  /** A kubelet gives a container up after so many failures of its startup probe; readiness it asks for ever. */
  const passes = async (which: "startupProbe" | "readinessProbe") => {
    const what = service[which]!;
    const most = which === "startupProbe" ? (what.failureThreshold ?? 3) : 20;
    for (let failures = 0; failures < most && !isOver; failures += 1) {
      if (await probe(what)) return;
      await sleep((what.periodSeconds ?? 10) * 1000);
    }
    throw new Error(`The ${which} of ${name} failed ${most} times`);
  };
  const ready = begin();
  ready.catch(() => undefined);

  return {
    name,
    ready,
    running: () => running,
    url,
    probe: (which) => probe(service[which]!),
    signal: (signal) => running.at(-1)?.kill(signal),
    folder: (path) => place.volumes.get(service.volumeMounts!.find(({ mountPath }) => mountPath === path)!.name)!,
    async close() {
      running.at(-1)?.kill("SIGKILL");
      await running.at(-1)?.exited;
      await place.close();
    },
    async terminate() {
      const startedAt = performance.now();
      const graceSeconds = spec.terminationGracePeriodSeconds ?? 30;
      await sleep((service.lifecycle?.preStop?.sleep?.seconds ?? 0) * 1000);
      const process = running.at(-1)!;
      process.kill("SIGTERM");
      const kill = setTimeout(() => process.kill("SIGKILL"), graceSeconds * 1000 - (performance.now() - startedAt));
      const end = await process.exited;
      clearTimeout(kill);
      await place.close();
      return { end, seconds: (performance.now() - startedAt) / 1000, graceSeconds };
    },
  };
}

async function probeOnce(url: string, { timeoutSeconds = 1 }: Probe): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutSeconds * 1000), redirect: "manual" });
    await response.body?.cancel();
    return response.status >= 200 && response.status < 400;
  } catch {
    return false;
  }
}

/** What a pod has of this machine. */
interface Place {
  /** By name, as this machine has them free. */
  readonly ports: ReadonlyMap<string, number>;
  /** The same, by the number in the manifest. */
  readonly numbers: ReadonlyMap<string, number>;
  /** Folders by the name of their volume. */
  readonly volumes: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

async function openPlace(pod: PodTemplate["spec"]): Promise<Place> {
  const ports = new Map<string, number>();
  const numbers = new Map<string, number>();
  for (const { name, containerPort } of pod.containers.flatMap((container) => container.ports ?? [])) {
    const free = await freePort();
    ports.set(name, free);
    numbers.set(String(containerPort), free);
  }
  const volumes = new Map<string, string>();
  for (const volume of pod.volumes ?? [])
    volumes.set(String(volume["name"]), await mkdtemp(join(tmpdir(), "outerloop-pod-")));
  return {
    ports,
    numbers,
    volumes,
    close: async () => {
      for (const folder of volumes.values()) await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function start(cluster: Cluster, name: string, container: Container, place: Place): ServiceProcess {
  if (container.command?.join(" ") !== "node") throw new Error(`${name} runs ${container.command?.join(" ")}`);
  const env = environmentOf(cluster, name, container);
  // Its own network address and file system, which a process of this machine does not have.
  for (const key of ["PORT", "OUTERLOOP_PROBE_PORT"])
    env[key] = String(place.numbers.get(env[key] ?? "") ?? env[key] ?? "");
  const folders = new Map(container.volumeMounts?.map((mount) => [mount.mountPath, place.volumes.get(mount.name)!]));
  for (const [key, value] of Object.entries(env)) env[key] = folders.get(value) ?? value;
  const tmp = folders.get("/tmp");
  if (tmp === undefined) throw new Error(`${name} has no /tmp`);
  const args = container.args!.map((arg) => arg.replace(/(?<==)\/\w+$/, (path) => folders.get(path) ?? path));
  // As readOnlyRootFilesystem: it writes to its volumes and nowhere else.
  const may = [
    "fs-read=*",
    ...[...folders.values()].map((folder) => `fs-write=${folder}`),
    "child-process",
    "worker",
    "addons",
    "net",
  ];
  return startProcess(
    name,
    args[0]!,
    {
      ...env,
      TMPDIR: tmp,
      HOME: "/nonexistent",
      NODE_OPTIONS: ["--permission", ...may.map((each) => `--allow-${each}`)].join(" "),
    },
    args.slice(1),
  );
}

/** As the kubelet makes it: envFrom, then env over it. */
function environmentOf({ objects, secrets }: Cluster, name: string, container: Container): Record<string, string> {
  const mapOf = (map: string): Labels => {
    const found = ofKind(objects, "ConfigMap").find((each) => each.metadata.name === map);
    if (found === undefined) throw new Error(`${name}: there is no ConfigMap ${map}`);
    return found["data"] as Labels;
  };
  const env: Record<string, string> = {};
  for (const { configMapRef } of container.envFrom ?? []) Object.assign(env, mapOf(configMapRef!.name));
  for (const { name: key, value, valueFrom } of container.env ?? []) {
    const { secretKeyRef, configMapKeyRef } = valueFrom ?? {};
    const found =
      value ??
      (secretKeyRef && secrets[secretKeyRef.name]?.[secretKeyRef.key]) ??
      (configMapKeyRef && mapOf(configMapKeyRef.name)[configMapKeyRef.key]);
    if (found !== undefined) env[key] = found;
    else if (secretKeyRef?.optional !== true) throw new Error(`${name}: there is no value for ${key}`);
  }
  return env;
}
