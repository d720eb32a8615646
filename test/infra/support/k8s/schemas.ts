/**
 * Kubernetes' own schemas and those of KEDA, the Prometheus operator and the Gateway, strictly: a field that a schema does
 * not know is an error here, as it is to `kubectl apply --validate=strict`.
 */
import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1/TriggerAuthentication";
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { Deployment } from "kubernetes-models/apps/v1/Deployment";
import { StatefulSet } from "kubernetes-models/apps/v1/StatefulSet";
import { HorizontalPodAutoscaler } from "kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler";
import { CronJob } from "kubernetes-models/batch/v1/CronJob";
import { Job } from "kubernetes-models/batch/v1/Job";
import { Ingress } from "kubernetes-models/networking.k8s.io/v1/Ingress";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Namespace } from "kubernetes-models/v1/Namespace";
import { Pod } from "kubernetes-models/v1/Pod";
import { Secret } from "kubernetes-models/v1/Secret";
import { Service } from "kubernetes-models/v1/Service";
import { ServiceAccount } from "kubernetes-models/v1/ServiceAccount";
import { nameOf, type KubernetesObject } from "./objects.ts";

const models = new Map(
  [
    ConfigMap,
    CronJob,
    Deployment,
    HorizontalPodAutoscaler,
    HTTPRoute,
    Ingress,
    Job,
    Namespace,
    NetworkPolicy,
    Pod,
    PodDisruptionBudget,
    PodMonitor,
    PrometheusRule,
    ScaledObject,
    Secret,
    Service,
    ServiceAccount,
    StatefulSet,
    TriggerAuthentication,
  ].map((model) => [`${model.apiVersion} ${model.kind}`, model]),
);

/** What is wrong with an object by its schema; empty when it is right. */
export function schemaProblems(object: KubernetesObject): string[] {
  const model = models.get(`${object.apiVersion} ${object.kind}`);
  if (model === undefined) return [`${nameOf(object)}: no schema for ${object.apiVersion} ${object.kind}`];
  const watched = watchReads(object);
  const problems: string[] = [];
  try {
    model.prototype.validate.call(watched.value);
  } catch (thrown) {
    problems.push(`${nameOf(object)}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
  return [...problems, ...watched.unread().map((path) => `${nameOf(object)}: unknown field ${path}`)];
}

/**
 * The packaged validators let unknown fields pass and carry no schema to ask. But they look at every field that they know
 * by its name, so what nobody looked at is unknown.
 */
function watchReads(root: object): { readonly value: object; unread(): string[] } {
  const reads = new Map<object, Set<PropertyKey>>();
  const proxies = new WeakMap<object, object>();
  const watch = (target: object): object => {
    const known = proxies.get(target);
    if (known !== undefined) return known;
    const seen = new Set<PropertyKey>();
    reads.set(target, seen);
    const proxy = new Proxy(target, {
      get(from, key, receiver) {
        seen.add(key);
        const value: unknown = Reflect.get(from, key, receiver);
        return typeof value === "object" && value !== null ? watch(value) : value;
      },
    });
    proxies.set(target, proxy);
    return proxy;
  };
  const unreadOf = (target: object, path: string): string[] =>
    Object.entries(target).flatMap(([key, value]: [string, unknown]) => {
      const here = path === "" ? key : `${path}.${key}`;
      if (reads.get(target)?.has(key) !== true) return [here];
      return typeof value === "object" && value !== null ? unreadOf(value, here) : [];
    });
  return { value: watch(root), unread: () => unreadOf(root, "") };
}
