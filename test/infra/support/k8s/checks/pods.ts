/** How each pod runs: with no rights, within its limits, probed, and with the time that it needs to stop. */
import { containersOf, nameOf, settingsOf, workloads, type Container, type KubernetesObject } from "../objects.ts";
import { isOurs } from "./references.ts";

/** A problem of each container for which there is one. */
const ofContainers = (
  objects: readonly KubernetesObject[],
  problemsOf: (container: Container, each: ReturnType<typeof workloads>[number]) => readonly string[],
): string[] =>
  workloads(objects).flatMap((each) =>
    containersOf(each.pod).flatMap((container) =>
      problemsOf(container, each).map((problem) => `${nameOf(each.object)}/${container.name} ${problem}`),
    ),
  );

/** The profile "restricted" of Kubernetes' pod security standards, and a root file system that can't be written. */
export function podsAreRestricted(objects: readonly KubernetesObject[]): string[] {
  const volumes = new Set([
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
  ]);
  const ofPods = workloads(objects).flatMap(({ object, pod }) => {
    const { securityContext: security = {} } = pod;
    const wrong = [
      ...(security.runAsNonRoot === true && (security.runAsUser ?? 0) > 0 ? [] : ["may run as root"]),
      ...(security.seccompProfile?.type === "RuntimeDefault" ? [] : ["has no seccomp profile"]),
      ...(pod.automountServiceAccountToken === false ? [] : ["is given a token of the cluster"]),
      ...(pod.enableServiceLinks === false ? [] : ["is given variables of the namespace's Services"]),
      ...(pod.hostNetwork || pod.hostPID || pod.hostIPC ? ["shares something with its node"] : []),
      ...(pod.volumes ?? []).flatMap((volume) =>
        Object.keys(volume)
          .filter((kind) => kind !== "name" && !volumes.has(kind))
          .map((kind) => `mounts a ${kind}`),
      ),
    ];
    return wrong.map((problem) => `${nameOf(object)} ${problem}`);
  });
  const inContainers = ofContainers(objects, ({ securityContext: security = {} }) => [
    ...(security.allowPrivilegeEscalation === false ? [] : ["may gain privileges"]),
    ...(security.capabilities?.drop?.includes("ALL") && !security.capabilities.add?.length ? [] : ["has capabilities"]),
    ...(security.readOnlyRootFilesystem === true ? [] : ["may write to its image"]),
    ...(security.runAsNonRoot === false || security.seccompProfile?.type === "Unconfined" ? ["undoes its pod's"] : []),
  ]);
  return [...ofPods, ...inContainers];
}

const units: Readonly<Record<string, number>> = { "": 1, m: 1e-3, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

/** Of a quantity as Kubernetes writes it: cores, bytes. */
export function quantity(text: string): number {
  const [, number, unit] = /^([\d.]+)(\D*)$/.exec(text) ?? [];
  const factor = units[unit ?? "?"];
  if (number === undefined || factor === undefined) throw new Error(`${text} is no quantity that this test knows`);
  return Number(number) * factor;
}

export function resourcesAreBounded(objects: readonly KubernetesObject[]): string[] {
  return ofContainers(objects, ({ resources: { requests = {}, limits = {} } = {} }) =>
    ["cpu", "memory"].flatMap((what) => {
      const [request, limit] = [requests[what], limits[what]];
      if (request === undefined || limit === undefined) return [`has no request or no limit of ${what}`];
      return quantity(request) <= quantity(limit) ? [] : [`requests more ${what} than its limit`];
    }),
  );
}

const mebi = 2 ** 20;
/** Buffers, code, threads and stacks of a process, beside its heap. */
export const besideHeap = 192 * mebi;

/** What a container may have, and how much of it is its service's heap; in bytes. */
export function memoryOf({ args, resources }: Container): {
  readonly heap: number | undefined;
  readonly limit: number;
} {
  const limit = quantity(resources?.limits?.["memory"] ?? "0");
  return { heap: heapOf(args ?? [], limit), limit };
}

/** In bytes, by the arguments of node. */
export function heapOf(args: readonly string[], limit: number): number | undefined {
  const share = args.map((arg) => /^--max-old-space-size-percentage=(\d+)$/.exec(arg)?.[1]).find(Boolean);
  return share === undefined ? undefined : (limit * Number(share)) / 100;
}

/** The kernel kills a whole container that goes over its limit: what one task's child exhausts must not reach it. */
export function memoryFits(objects: readonly KubernetesObject[]): string[] {
  const settings = settingsOf(objects);
  const children = Number(settings["OUTERLOOP_ISOLATED_RUNS"]) * Number(settings["OUTERLOOP_ISOLATED_HEAP_MB"]) * mebi;
  return ofContainers(objects, (container, { object }) => {
    if (object.kind !== "Deployment" || container.name !== "outerloop") return [];
    const { heap, limit } = memoryOf(container);
    if (heap === undefined) return ["has a heap of any size"];
    const ingress = object.metadata.name === "outerloop-ingress";
    const needed = heap + besideHeap + (ingress ? 0 : children);
    return needed <= limit ? [] : [`needs up to ${Math.round(needed / mebi)} MiB of ${Math.round(limit / mebi)}`];
  });
}

/** A child for work that ends processes is given its own `--max-old-space-size`, which this in NODE_OPTIONS would override. */
export function heapsAreNotInherited(objects: readonly KubernetesObject[]): string[] {
  const inSettings = "NODE_OPTIONS" in settingsOf(objects) ? ["the settings have NODE_OPTIONS"] : [];
  return [
    ...inSettings,
    ...ofContainers(objects, ({ env = [] }) =>
      env.some(({ name }) => name === "NODE_OPTIONS") ? ["has NODE_OPTIONS, which children inherit"] : [],
    ),
  ];
}

/** To hand back what is left after the drain, and to close. */
const handBackSeconds = 15;

export function podsHaveTimeToStop(objects: readonly KubernetesObject[]): string[] {
  const drainSeconds = Number(settingsOf(objects)["OUTERLOOP_DRAIN_MS"]) / 1000;
  return workloads(objects)
    .filter(({ object }) => object.kind === "Deployment")
    .flatMap(({ object, pod }) => {
      const preStop = Math.max(...pod.containers.map((each) => each.lifecycle?.preStop?.sleep?.seconds ?? 0));
      const needed = drainSeconds + preStop + handBackSeconds;
      const grace = pod.terminationGracePeriodSeconds ?? 30;
      return grace >= needed ? [] : [`${nameOf(object)} has ${grace} s to stop and needs ${needed} s`];
    });
}

/** What others connect to goes on answering while they learn that it goes. */
export function ingressOutlivesItsEndpoints(objects: readonly KubernetesObject[]): string[] {
  return ofContainers(objects, ({ name, lifecycle }, { object }) =>
    object.metadata.name !== "outerloop-ingress" ||
    name !== "outerloop" ||
    (lifecycle?.preStop?.sleep?.seconds ?? 0) >= 5
      ? []
      : ["stops listening at once"],
  );
}

export function servicesAreProbed(objects: readonly KubernetesObject[]): string[] {
  const settings = settingsOf(objects);
  return ofContainers(objects, (container, { object }) => {
    if (object.kind !== "Deployment" || container.name !== "outerloop") return [];
    const ports = new Map(container.ports?.map((port) => [port.name, port.containerPort]));
    const { startupProbe, livenessProbe, readinessProbe } = container;
    return [
      ...Object.entries({ startupProbe, livenessProbe, readinessProbe }).flatMap(([what, probe]) =>
        probe?.httpGet !== undefined && ports.has(String(probe.httpGet.port)) ? [] : [`has no port for its ${what}`],
      ),
      ...(livenessProbe?.httpGet?.path === "/healthz" && livenessProbe.httpGet.port === "probes"
        ? []
        : ["is not killed when it stands still"]),
      ...(String(ports.get("probes")) === settings["OUTERLOOP_PROBE_PORT"] ? [] : ["listens for probes elsewhere"]),
      ...(!ports.has("http") || String(ports.get("http")) === settings["PORT"] ? [] : ["listens elsewhere"]),
    ];
  });
}

export function servicesWaitForMigrations(objects: readonly KubernetesObject[]): string[] {
  const waits = ["packages/cli/src/main.ts", "migrate", "--wait"].join(" ");
  const services = workloads(objects).filter(({ object }) => object.kind === "Deployment");
  return [
    ...(settingsOf(objects)["OUTERLOOP_MIGRATE"] === "false" ? [] : ["the services migrate themselves"]),
    ...services
      .filter(({ pod }) => pod.initContainers?.[0]?.args?.join(" ") !== waits)
      .map(({ object }) => `${nameOf(object)} does not wait for migrations`),
  ];
}

/** A Job can't be changed: it is replaced by whoever applies the manifests. */
export function theJobCanBeAppliedAgain(objects: readonly KubernetesObject[]): string[] {
  return workloads(objects)
    .filter(({ object }) => object.kind === "Job")
    .flatMap(({ object }) => {
      const { annotations = {} } = object.metadata;
      return [
        ...(annotations["argocd.argoproj.io/hook-delete-policy"] === "BeforeHookCreation" ? [] : ["stops Argo CD"]),
        ...(annotations["kustomize.toolkit.fluxcd.io/force"] === "enabled" ? [] : ["stops Flux"]),
      ].map((problem) => `${nameOf(object)} ${problem}`);
    });
}

const hourSeconds = 3600;

/** Who comes in the morning finds why a migration failed at night; and one that builds indexes is left to it. */
export function migrationsAreKeptAndHaveTime(objects: readonly KubernetesObject[]): string[] {
  return workloads(objects)
    .filter(({ object }) => object.kind === "Job")
    .flatMap(({ object, pod }) => {
      const {
        ttlSecondsAfterFinished: kept = Infinity,
        activeDeadlineSeconds: time = 0,
        backoffLimit,
      } = object["spec"];
      return [
        // OnFailure takes its pod away with the last failure, and the log with it.
        ...(pod.restartPolicy === "Never" ? [] : ["loses the log of what failed"]),
        ...(kept >= 12 * hourSeconds && kept <= 7 * 24 * hourSeconds ? [] : [`is kept for ${kept} s`]),
        ...(time >= 6 * hourSeconds && time <= 24 * hourSeconds ? [] : [`has ${time} s`]),
        ...(backoffLimit >= 4 && backoffLimit <= 8 ? [] : [`is tried ${backoffLimit} times more`]),
      ].map((problem) => `${nameOf(object)} ${problem}`);
    });
}

/** What deletes says what, never runs beside itself, ends, and leaves the log of a failure. */
export function retentionIsCareful(objects: readonly KubernetesObject[]): string[] {
  return workloads(objects)
    .filter(({ object }) => object.kind === "CronJob")
    .flatMap(({ object, pod }) => {
      const { concurrencyPolicy, failedJobsHistoryLimit, jobTemplate } = object["spec"];
      const command = pod.containers[0]?.args?.slice(1).join(" ") ?? "";
      return [
        ...(concurrencyPolicy === "Forbid" ? [] : ["may run beside itself"]),
        ...(jobTemplate.spec.activeDeadlineSeconds > 0 ? [] : ["may run for ever"]),
        ...(pod.restartPolicy === "Never" && failedJobsHistoryLimit > 0 ? [] : ["loses the log of what failed"]),
        ...(/^prune --older-than [1-9]\d*d$/.test(command) ? [] : [`runs ${command}`]),
      ].map((problem) => `${nameOf(object)} ${problem}`);
    });
}

/** By a signal, into the one folder that can be written: docs/runbooks/OuterloopMemoryHigh.md. */
export function heapsCanBeLookedAt(objects: readonly KubernetesObject[]): string[] {
  return ofContainers(objects, ({ args = [], name, volumeMounts }, { object }) =>
    object.kind !== "Deployment" ||
    name !== "outerloop" ||
    (args.includes("--heapsnapshot-signal=SIGUSR2") &&
      args.includes("--diagnostic-dir=/tmp") &&
      volumeMounts?.some(({ mountPath }) => mountPath === "/tmp"))
      ? []
      : ["writes no heap snapshot"],
  );
}

export function volumesFit(objects: readonly KubernetesObject[]): string[] {
  const dataDir = settingsOf(objects)["OUTERLOOP_DATA_DIR"];
  return ofContainers(objects, (container, { object, pod }) => {
    const volumes = new Set([
      ...(pod.volumes ?? []).map((volume) => volume["name"]),
      ...((object["spec"].volumeClaimTemplates ?? []) as KubernetesObject[]).map((claim) => claim.metadata.name),
    ]);
    const paths = container.volumeMounts?.map((mount) => mount.mountPath) ?? [];
    return [
      ...(container.volumeMounts ?? [])
        .filter(({ name }) => !volumes.has(name))
        .map(({ name }) => `mounts ${name}, which its pod does not have`),
      ...(!isOurs(container) || paths.includes("/tmp") ? [] : ["has no /tmp"]),
      ...(container.name !== "outerloop" || (dataDir !== undefined && paths.includes(dataDir))
        ? []
        : ["cannot write to its data folder"]),
    ];
  });
}

export function allRunOneImage(objects: readonly KubernetesObject[]): string[] {
  const images = new Set(
    workloads(objects).flatMap(({ pod }) =>
      containersOf(pod)
        .filter(isOurs)
        .map((container) => container.image),
    ),
  );
  return [
    ...(images.size === 1 ? [] : [`services run ${[...images].join(" and ")}`]),
    ...ofContainers(objects, ({ image }) =>
      /[:@][^/]+$/.test(image) && !image.endsWith(":latest") ? [] : [`runs ${image}, which may be anything`],
    ),
  ];
}

export function nothingSecretIsIn(objects: readonly KubernetesObject[]): string[] {
  const secretName = /(KEY|PASSWORD|TOKEN|SECRET|DATABASE_URL|DATABASE_DIRECT_URL|REDIS_URL)$/;
  const kinds = objects.filter((object) => object.kind === "Secret").map((object) => `${nameOf(object)} is among them`);
  const settings = Object.keys(settingsOf(objects))
    .filter((name) => secretName.test(name))
    .map((name) => `${name} is in the settings`);
  const values = ofContainers(objects, ({ env = [] }) =>
    env
      .filter(({ name, value }) => value !== undefined && secretName.test(name))
      .map(({ name }) => `shows its ${name}`),
  );
  const urls = /\w+:\/\/[^\s"/]*:[^\s"/]+@/.exec(JSON.stringify(objects))?.slice(0, 1) ?? [];
  return [...kinds, ...settings, ...values, ...urls.map((url) => `a URL with a password is among them: ${url}`)];
}
