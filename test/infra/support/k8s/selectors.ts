/** Which pods a selector means. */
import { workloads, type KubernetesObject, type Labels } from "./objects.ts";

export interface Selector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] }[];
}

export function matches(selector: Selector, labels: Labels): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case "In":
          return value !== undefined && values.includes(value);
        case "NotIn":
          return value === undefined || !values.includes(value);
        case "Exists":
          return value !== undefined;
        case "DoesNotExist":
          return value === undefined;
        default:
          throw new Error(`${operator} is no operator of a selector`);
      }
    })
  );
}

export const workloadsOf = (objects: readonly KubernetesObject[], selector: Selector) =>
  workloads(objects).filter(({ template }) => matches(selector, template.metadata.labels));

/** Whether each of the pods has this port, by name or number. */
export const havePort = (pods: ReturnType<typeof workloads>, port: string | number) =>
  pods.every(({ pod }) =>
    pod.containers.some((container) =>
      container.ports?.some((each) => each.name === port || each.containerPort === port),
    ),
  );
