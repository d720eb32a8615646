/** What one object says of another: there it is. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readConfig } from "@outerloop/core";
import { settingNames } from "../../../../../packages/core/src/config.ts";
import {
  containersOf,
  manifestsPath,
  nameOf,
  ofKind,
  readManifest,
  settingsOf,
  workloads,
  type Container,
  type KubernetesObject,
} from "../objects.ts";
import { havePort, matches, workloadsOf, type Selector } from "../selectors.ts";

export function selectorsMatchTheirOwnPodsOnly(objects: readonly KubernetesObject[]): string[] {
  return ofKind(objects, "Deployment", "StatefulSet").flatMap((object) => {
    const found = workloadsOf(objects, object["spec"].selector as Selector).map((each) => nameOf(each.object));
    return found.length === 1 && found[0] === nameOf(object)
      ? []
      : [`${nameOf(object)} selects the pods of ${found.join(", ") || "nobody"}`];
  });
}

export function servicesHavePods(objects: readonly KubernetesObject[]): string[] {
  return ofKind(objects, "Service").flatMap((service) => {
    const pods = workloadsOf(objects, { matchLabels: service["spec"].selector });
    if (pods.length !== 1) return [`${nameOf(service)} selects the pods of ${pods.length} workloads`];
    return (service["spec"].ports as { targetPort: string | number }[])
      .filter(({ targetPort }) => !havePort(pods, targetPort))
      .map(({ targetPort }) => `${nameOf(service)}: its pods have no port ${targetPort}`);
  });
}

export function everyServiceHasABudget(objects: readonly KubernetesObject[]): string[] {
  const budgets = ofKind(objects, "PodDisruptionBudget");
  const stray = budgets
    .filter((budget) => workloadsOf(objects, budget["spec"].selector as Selector).length !== 1)
    .map((budget) => `${nameOf(budget)} is not of one workload`);
  const without = workloads(objects)
    .filter(({ object }) => object.kind === "Deployment")
    .filter(({ template }) => !budgets.some((each) => matches(each["spec"].selector, template.metadata.labels)))
    .map(({ object }) => `${nameOf(object)} has no PodDisruptionBudget`);
  return [...stray, ...without];
}

export function everyServiceIsMonitored(objects: readonly KubernetesObject[]): string[] {
  const monitors = ofKind(objects, "PodMonitor");
  const wrong = monitors.flatMap((monitor) => {
    const pods = workloadsOf(objects, monitor["spec"].selector as Selector);
    return (monitor["spec"].podMetricsEndpoints as { port: string }[])
      .filter(({ port }) => pods.length === 0 || !havePort(pods, port))
      .map(({ port }) => `${nameOf(monitor)}: its pods have no port ${port}`);
  });
  if (monitors.length === 0) return wrong;
  const without = workloads(objects)
    .filter(({ object }) => object.kind === "Deployment")
    .filter(({ template }) => !monitors.some((each) => matches(each["spec"].selector, template.metadata.labels)))
    .map(({ object }) => `${nameOf(object)} is monitored by nobody`);
  return [...wrong, ...without];
}

export function accountsAndSettingsExist(objects: readonly KubernetesObject[]): string[] {
  const accounts = new Set(ofKind(objects, "ServiceAccount").map((each) => each.metadata.name));
  const maps = new Set(ofKind(objects, "ConfigMap").map((each) => each.metadata.name));
  return workloads(objects).flatMap(({ object, pod }) => [
    ...(pod.serviceAccountName === undefined || accounts.has(pod.serviceAccountName)
      ? []
      : [`${nameOf(object)}: there is no ServiceAccount ${pod.serviceAccountName}`]),
    ...containersOf(pod).flatMap((container) =>
      [
        ...(container.envFrom ?? []).map((each) => each.configMapRef?.name),
        ...(container.env ?? []).map((each) => each.valueFrom?.configMapKeyRef?.name),
      ]
        .filter((name) => name !== undefined && !maps.has(name))
        .map((name) => `${nameOf(object)}/${container.name}: there is no ConfigMap ${name}`),
    ),
  ]);
}

const somewhere = { DATABASE_URL: "postgres://host/database", REDIS_URL: "redis://host" };

/** Whether configuration reads a variable of this name: a strange value is refused or makes a difference. */
function isRead(name: string): boolean {
  // Those of models are read when models are set up.
  if (settingNames.includes(name)) return true;
  const plain = JSON.stringify(readConfig(somewhere, "/"));
  try {
    return JSON.stringify(readConfig({ ...somewhere, [name]: "?" }, "/")) !== plain;
  } catch {
    return true;
  }
}

/** Node's own. */
const nodeNames = new Set(["NODE_EXTRA_CA_CERTS"]);
/** Of the images that are not ours. */
const foreignNames = new Set(["POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PGDATA"]);

export function everyVariableIsKnown(objects: readonly KubernetesObject[]): string[] {
  const inSettings = Object.keys(settingsOf(objects))
    .filter((name) => !isRead(name))
    .map((name) => `the settings have ${name}, which configuration does not know`);
  const inContainers = workloads(objects).flatMap(({ object, pod }) =>
    containersOf(pod).flatMap((container) =>
      (container.env ?? [])
        .filter(({ name }) => !(isOurs(container) ? nodeNames.has(name) || isRead(name) : foreignNames.has(name)))
        .map(({ name }) => `${nameOf(object)}/${container.name}: ${name} is no variable that it knows`),
    ),
  );
  return [...inSettings, ...inContainers];
}

/** Whether it runs our image. */
export const isOurs = (container: Container) => container.command?.[0] === "node";

export function everySecretIsInTheExample(objects: readonly KubernetesObject[]): string[] {
  const [example] = readManifest("secret.example.yaml");
  const text = readFileSync(`${manifestsPath}secret.example.yaml`, "utf8");
  const has = (name: string, key: string) =>
    name === example!.metadata.name && new RegExp(`^ {2}(# )?${key}: `, "m").test(text);
  const inPods = workloads(objects).flatMap(({ object, pod }) =>
    containersOf(pod).flatMap((container) =>
      (container.env ?? []).flatMap(({ valueFrom }) =>
        valueFrom?.secretKeyRef === undefined ? [] : [{ by: nameOf(object), ...valueFrom.secretKeyRef }],
      ),
    ),
  );
  const inScaling = ofKind(objects, "TriggerAuthentication").flatMap((object) =>
    (object["spec"].secretTargetRef as { name: string; key: string }[]).map((each) => ({
      by: nameOf(object),
      ...each,
    })),
  );
  return [...inPods, ...inScaling]
    .filter(({ name, key }) => !has(name, key))
    .map(({ by, name, key }) => `${by} takes ${key} from ${name}, which secret.example.yaml does not have`);
}

export function commandsExist(objects: readonly KubernetesObject[]): string[] {
  const root = fileURLToPath(new URL("../../../../../", import.meta.url));
  const cli = "packages/cli/src/";
  const ofCli = new Set(
    readdirSync(`${root}${cli}commands`)
      .map((file) => readFileSync(`${root}${cli}commands/${file}`, "utf8"))
      .flatMap((text) => [...text.matchAll(/\.command\("([a-z-]+)/g)].map(([, name]) => name)),
  );
  return workloads(objects).flatMap(({ object, pod }) =>
    containersOf(pod)
      .filter(isOurs)
      .flatMap((container) => {
        const [main, command] = container.args?.filter((arg) => !arg.startsWith("--")) ?? [];
        const exists = main !== undefined && existsSync(root + main);
        return exists && (main !== `${cli}main.ts` || ofCli.has(command))
          ? []
          : [`${nameOf(object)}/${container.name} starts ${main} ${command ?? ""}, which there is not`];
      }),
  );
}

export function allIsInOneNamespace(objects: readonly KubernetesObject[]): string[] {
  const [namespace] = ofKind(objects, "Namespace");
  return objects
    .filter((object) => object.kind !== "Namespace" && object.metadata.namespace !== namespace?.metadata.name)
    .map((object) => `${nameOf(object)} is in the namespace ${object.metadata.namespace}`);
}
