/** Kubernetes objects as the checks read them: loose, since a schema has judged them before. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";

export type Labels = Readonly<Record<string, string>>;

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Labels; annotations?: Labels };
  // oxlint-disable-next-line typescript/no-explicit-any -- every kind has another shape
  [field: string]: any;
}

export interface Container {
  name: string;
  image: string;
  command?: string[];
  args?: string[];
  workingDir?: string;
  env?: EnvVar[];
  envFrom?: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  ports?: { name: string; containerPort: number }[];
  resources?: { requests?: Labels; limits?: Labels };
  lifecycle?: { preStop?: { sleep?: { seconds: number } } };
  startupProbe?: Probe;
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  securityContext?: {
    allowPrivilegeEscalation?: boolean;
    readOnlyRootFilesystem?: boolean;
    runAsNonRoot?: boolean;
    capabilities?: { drop?: string[]; add?: string[] };
    seccompProfile?: { type: string };
  };
  volumeMounts?: { name: string; mountPath: string }[];
}

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: {
    secretKeyRef?: { name: string; key: string; optional?: boolean };
    configMapKeyRef?: { name: string; key: string };
  };
}

export interface Probe {
  httpGet?: { path: string; port: string | number };
  exec?: { command: string[] };
  periodSeconds?: number;
  timeoutSeconds?: number;
  failureThreshold?: number;
}

export interface PodTemplate {
  metadata: { labels: Labels };
  spec: {
    serviceAccountName?: string;
    restartPolicy?: string;
    automountServiceAccountToken?: boolean;
    enableServiceLinks?: boolean;
    terminationGracePeriodSeconds?: number;
    securityContext?: {
      runAsNonRoot?: boolean;
      runAsUser?: number;
      seccompProfile?: { type: string };
    };
    hostNetwork?: boolean;
    hostPID?: boolean;
    hostIPC?: boolean;
    initContainers?: Container[];
    containers: Container[];
    volumes?: Record<string, unknown>[];
  };
}

export const manifestsPath = fileURLToPath(new URL("../../../../infra/k8s/", import.meta.url));

/** What kubectl would apply of a folder in infra/k8s. */
export function render(kubectl: string, folder: string): KubernetesObject[] {
  return kustomize(kubectl, join(manifestsPath, folder));
}

/** An overlay with more components on top of it, as one of an operator's own would have. */
export function renderWith(kubectl: string, overlay: string, components: readonly string[]): KubernetesObject[] {
  return renderOwn(kubectl, (manifests) =>
    // JSON is YAML.
    JSON.stringify({
      // Again: what a component adds here has none yet.
      namespace: "outerloop",
      images: [{ name: "outerloop", newTag: "0.1.0" }],
      resources: [`${manifests}/${overlay}`],
      components: components.map((name) => `${manifests}/components/${name}`),
    }),
  );
}

/** A kustomization outside of infra/k8s, given the way there. */
export function renderOwn(kubectl: string, kustomization: (manifests: string) => string): KubernetesObject[] {
  const folder = mkdtempSync(join(tmpdir(), "outerloop-overlay-"));
  try {
    writeFileSync(join(folder, "kustomization.yaml"), kustomization(relative(folder, manifestsPath)));
    return kustomize(kubectl, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function kustomize(kubectl: string, folder: string): KubernetesObject[] {
  const text = execFileSync(kubectl, ["kustomize", folder], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  return readObjects(text);
}

export function readManifest(path: string): KubernetesObject[] {
  return readObjects(readFileSync(join(manifestsPath, path), "utf8"));
}

function readObjects(text: string): KubernetesObject[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    return document.toJS() as KubernetesObject;
  });
}

export const nameOf = (object: KubernetesObject) => `${object.kind} ${object.metadata.name}`;

export const ofKind = (objects: readonly KubernetesObject[], ...kinds: readonly string[]) =>
  objects.filter((object) => kinds.includes(object.kind));

/** What makes pods: each with the template of them. */
export function workloads(
  objects: readonly KubernetesObject[],
): { object: KubernetesObject; template: PodTemplate; pod: PodTemplate["spec"] }[] {
  return ofKind(objects, "Deployment", "StatefulSet", "Job", "CronJob", "Pod").map((object) => {
    const template = templateOf(object);
    return { object, template, pod: template.spec };
  });
}

function templateOf(object: KubernetesObject): PodTemplate {
  if (object.kind === "Pod") return object as unknown as PodTemplate;
  const { spec } = object.kind === "CronJob" ? object["spec"].jobTemplate : object;
  return spec.template as PodTemplate;
}

export const containersOf = (pod: PodTemplate["spec"]): Container[] => [
  ...(pod.initContainers ?? []),
  ...pod.containers,
];

/** The settings that pods get by envFrom. */
export function settingsOf(objects: readonly KubernetesObject[]): Labels {
  return ofKind(objects, "ConfigMap").find((map) => map.metadata.name.startsWith("outerloop-settings"))?.["data"] ?? {};
}
