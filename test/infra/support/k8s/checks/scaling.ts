/** Who scales what, and by which number. */
import { nameOf, ofKind, settingsOf, type KubernetesObject } from "../objects.ts";

const stages = {
  "outerloop-planner": "plan",
  "outerloop-executor": "execute",
  "outerloop-reflector": "reflect",
} as const;
type Worker = keyof typeof stages;
const isWorker = (name: string): name is Worker => Object.hasOwn(stages, name);
const slotsOf = (objects: readonly KubernetesObject[], name: Worker) =>
  Number(settingsOf(objects)[`OUTERLOOP_${name.slice("outerloop-".length).toUpperCase()}_SLOTS`]);

interface Scaler {
  readonly object: KubernetesObject;
  readonly target: string;
  readonly min: number;
  readonly max: number;
}

function scalersOf(objects: readonly KubernetesObject[]): Scaler[] {
  return ofKind(objects, "ScaledObject", "HorizontalPodAutoscaler").map((object) => ({
    object,
    target: object["spec"].scaleTargetRef.name as string,
    min: (object["spec"].minReplicaCount ?? object["spec"].minReplicas) as number,
    max: (object["spec"].maxReplicaCount ?? object["spec"].maxReplicas) as number,
  }));
}

export function everyServiceIsScaledOnce(objects: readonly KubernetesObject[]): string[] {
  const scalers = scalersOf(objects);
  if (scalers.length === 0) return [];
  const deployments = new Map(ofKind(objects, "Deployment").map((each) => [each.metadata.name, each]));
  return [
    ...[...deployments.keys()]
      .map((name) => ({ name, times: scalers.filter(({ target }) => target === name).length }))
      .filter(({ times }) => times !== 1)
      .map(({ name, times }) => `${name} is scaled by ${times}`),
    ...scalers.flatMap(({ object, target, min, max }) => [
      ...(deployments.has(target) ? [] : [`${nameOf(object)}: there is no Deployment ${target}`]),
      ...(min >= 2 && min < max ? [] : [`${nameOf(object)} keeps ${min} to ${max}`]),
      // Each `kubectl apply` would set it back, and every pod too many would drain.
      ...(deployments.get(target)?.["spec"].replicas === undefined ? [] : [`${target} has a number of its own`]),
    ]),
  ];
}

interface Trigger {
  readonly type: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly authenticationRef?: { readonly name: string };
}

export function triggersAskForTheirStage(objects: readonly KubernetesObject[]): string[] {
  const authentications = new Set(ofKind(objects, "TriggerAuthentication").map((each) => each.metadata.name));
  const services = ofKind(objects, "Service");
  return ofKind(objects, "ScaledObject").flatMap((object) => {
    const target = object["spec"].scaleTargetRef.name as string;
    if (!isWorker(target)) return [`${nameOf(object)} scales ${target}, which is no worker`];
    return (object["spec"].triggers as Trigger[])
      .flatMap(({ type, metadata, authenticationRef }) => {
        if (type === "postgresql")
          return [
            ...(metadata["query"] === `SELECT outerloop_load('${stages[target]}')`
              ? []
              : [`asks ${metadata["query"]}`]),
            ...(authentications.has(authenticationRef?.name ?? "") ? [] : ["has no authentication"]),
          ];
        const url = new URL(metadata["url"] ?? "nowhere:");
        const service = services.find(
          ({ metadata: { name, namespace } }) => url.hostname === `${name}.${namespace}.svc`,
        );
        const ports = (service?.["spec"].ports ?? []) as { port: number }[];
        return [
          ...(type === "metrics-api" && url.pathname === "/scaling" ? [] : [`asks ${url.href}`]),
          ...(ports.some(({ port }) => String(port) === url.port) ? [] : [`asks ${url.host}, which is no Service`]),
          ...(metadata["valueLocation"] === stages[target] ? [] : [`reads ${metadata["valueLocation"]}`]),
        ];
      })
      .map((problem) => `${nameOf(object)} ${problem}`);
  });
}

/** A pod's share of the number is at most what it can work on, and not so little that pods idle. */
export function targetsFitSlots(objects: readonly KubernetesObject[]): string[] {
  return ofKind(objects, "ScaledObject").flatMap((object) => {
    const slots = slotsOf(objects, object["spec"].scaleTargetRef.name as Worker);
    return (object["spec"].triggers as Trigger[])
      .map(({ metadata }) => Number(metadata["targetQueryValue"] ?? metadata["targetValue"]))
      .filter((target) => !(target <= slots && target >= slots / 2))
      .map((target) => `${nameOf(object)} wants ${target} for each pod, which has ${slots} slots`);
  });
}

/** Without a number KEDA keeps what there is; and what it takes away it takes slowly, because a drain costs. */
export function scalingIsGentle(objects: readonly KubernetesObject[]): string[] {
  return ofKind(objects, "ScaledObject", "HorizontalPodAutoscaler").flatMap((object) => {
    const { spec } = object;
    const behavior =
      object.kind === "ScaledObject" ? spec.advanced?.horizontalPodAutoscalerConfig?.behavior : spec.behavior;
    const down = behavior?.scaleDown;
    const policies = (down?.policies ?? []) as { type: string; value: number }[];
    return [
      ...((down?.stabilizationWindowSeconds ?? 0) >= 300 ? [] : [`${nameOf(object)} scales down in haste`]),
      ...(policies.length > 0 && policies.every(({ type, value }) => type === "Pods" && value === 1)
        ? []
        : [`${nameOf(object)} takes away many at once`]),
      ...(object.kind !== "ScaledObject" ||
      (spec.fallback?.behavior === "currentReplicasIfHigher" && spec.fallback.replicas >= spec.minReplicaCount)
        ? []
        : [`${nameOf(object)} loses pods when it can't read the number`]),
    ];
  });
}

/** What one tenant may have in flight keeps all workers at work that scaling may start. */
export function tenantsCanUseAll(objects: readonly KubernetesObject[]): string[] {
  const scalers = scalersOf(objects).filter(
    ({ target }) => target === "outerloop-executor" || target === "outerloop-reflector",
  );
  if (scalers.length === 0) return [];
  const all = scalers.reduce((sum, { target, max }) => sum + max * slotsOf(objects, target as Worker), 0);
  const cap = Number(settingsOf(objects)["OUTERLOOP_TENANT_IN_FLIGHT"] ?? 500);
  return cap >= all ? [] : [`a tenant has ${cap} tasks in flight at most, all workers hold ${all}`];
}
