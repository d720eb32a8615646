/** Who reaches whom, as the network policies let them. */
import { BlockList, isIPv6 } from "node:net";
import { nameOf, ofKind, workloads, type KubernetesObject, type Labels } from "../objects.ts";
import { havePort, matches, workloadsOf, type Selector } from "../selectors.ts";

interface Peer {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}
interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly protocol?: string; readonly port?: string | number }[];
}

const policiesOf = (objects: readonly KubernetesObject[], labels: Labels, direction: "Ingress" | "Egress") =>
  ofKind(objects, "NetworkPolicy").filter(
    ({ spec }) => (spec.policyTypes as string[]).includes(direction) && matches(spec.podSelector, labels),
  );

const rulesOf = (objects: readonly KubernetesObject[], labels: Labels, direction: "Ingress" | "Egress"): Rule[] =>
  policiesOf(objects, labels, direction).flatMap(({ spec }) => (spec[direction.toLowerCase()] ?? []) as Rule[]);

/** Somebody at the other end: a pod, or an address outside. */
type Other = { readonly address: string } | { readonly namespace: string; readonly labels: Labels };

function isMeant(peer: Peer, other: Other, ownNamespace: string): boolean {
  if ("address" in other) {
    if (peer.ipBlock === undefined) return false;
    const { cidr, except = [] } = peer.ipBlock;
    return contains(cidr, other.address) && !except.some((each) => contains(each, other.address));
  }
  if (peer.ipBlock !== undefined) return false;
  const inNamespace =
    peer.namespaceSelector === undefined
      ? other.namespace === ownNamespace
      : matches(peer.namespaceSelector, { "kubernetes.io/metadata.name": other.namespace });
  return inNamespace && matches(peer.podSelector ?? {}, other.labels);
}

function contains(cidr: string, address: string): boolean {
  const [net, length] = cidr.split("/");
  const family = (ip: string) => (isIPv6(ip) ? "ipv6" : "ipv4");
  if (family(net!) !== family(address)) return false;
  const list = new BlockList();
  list.addSubnet(net!, Number(length), family(net!));
  return list.check(address, family(address));
}

function admits(rules: readonly Rule[], side: "from" | "to", other: Other, port: string | number, own: string) {
  return rules.some(
    (rule) =>
      (rule.ports === undefined || rule.ports.some((each) => each.port === port)) &&
      (rule[side] === undefined || rule[side].some((peer) => isMeant(peer, other, own))),
  );
}

/** Whether these pods may open a connection to it. */
export const mayReach = (objects: readonly KubernetesObject[], labels: Labels, other: Other, port: number): boolean =>
  admits(rulesOf(objects, labels, "Egress"), "to", other, port, "outerloop");

export function policiesAreOfSomebody(objects: readonly KubernetesObject[]): string[] {
  return ofKind(objects, "NetworkPolicy").flatMap((policy) => {
    const pods = workloadsOf(objects, policy["spec"].podSelector as Selector);
    if (pods.length === 0) return [`${nameOf(policy)} is of nobody`];
    const inward = ((policy["spec"].ingress ?? []) as Rule[])
      .flatMap((rule) => rule.ports ?? [])
      .filter(({ port }) => !havePort(pods, port ?? ""))
      .map(({ port }) => `${nameOf(policy)}: its pods have no port ${port}`);
    // To pods of ours: there they are, with that port.
    const outward = ((policy["spec"].egress ?? []) as Rule[]).flatMap((rule) =>
      (rule.to ?? [])
        .filter((peer) => peer.podSelector !== undefined && peer.namespaceSelector === undefined)
        .flatMap((peer) => {
          const others = workloadsOf(objects, peer.podSelector!);
          return (rule.ports ?? [])
            .filter(({ port }) => others.length === 0 || !havePort(others, port ?? ""))
            .map(({ port }) => `${nameOf(policy)}: nobody it leads to has a port ${port}`);
        }),
    );
    return [...inward, ...outward];
  });
}

export function everyPodIsDeniedFirst(objects: readonly KubernetesObject[]): string[] {
  return workloads(objects).flatMap(({ object, template }) =>
    (["Ingress", "Egress"] as const)
      .filter((direction) => policiesOf(objects, template.metadata.labels, direction).length === 0)
      .map((direction) => `${nameOf(object)} has ${direction} as it likes`),
  );
}

const executor: Labels = { "app.kubernetes.io/name": "outerloop", "app.kubernetes.io/component": "executor" };
const ingress: Labels = { ...executor, "app.kubernetes.io/component": "ingress" };
const dns: Other = { namespace: "kube-system", labels: { "k8s-app": "kube-dns" } };
const stranger: Labels = { app: "stranger" };
const publicAddresses = ["1.1.1.1", "104.18.7.192"];
const publicV6Address = "2606:4700::1111";
const insideAddresses = [
  "10.1.2.3",
  "172.16.4.5",
  "192.168.1.1",
  "100.64.0.1",
  "127.0.0.1",
  // Where clouds hand out credentials: AWS, Google, Azure and others; Alibaba; Oracle; Azure's agent; AWS by IPv6.
  "169.254.169.254",
  "100.100.100.200",
  "192.0.0.192",
  "168.63.129.16",
  "fd00:ec2::254",
  "fe80::1",
];

/** Where our own are pods beside us they are meant by labels, else by an address. */
function storeOf(objects: readonly KubernetesObject[], component: "postgres" | "valkey"): Other {
  return workloads(objects).some(({ object }) => object.kind === "StatefulSet")
    ? { namespace: "outerloop", labels: { ...executor, "app.kubernetes.io/component": component } }
    : { address: "10.1.2.3" };
}

/** Migrations and retention: they need Postgres, and a tool that a model drives is none of them. */
export function jobsReachPostgresAlone(objects: readonly KubernetesObject[]): string[] {
  return workloads(objects)
    .filter(({ object }) => object.kind === "Job" || object.kind === "CronJob")
    .flatMap(({ object, template }) => {
      const reaches = (other: Other, port: number) => mayReach(objects, template.metadata.labels, other, port);
      return [
        ...(reaches(dns, 53) ? [] : ["has no DNS"]),
        ...(reaches(storeOf(objects, "postgres"), 5432) ? [] : ["does not reach Postgres"]),
        ...(reaches(storeOf(objects, "valkey"), 6379) ? ["reaches Redis"] : []),
        ...[...publicAddresses, publicV6Address]
          .filter((address) => reaches({ address }, 443))
          .map((address) => `reaches ${address}`),
      ].map((problem) => `${nameOf(object)} ${problem}`);
    });
}

export function workersReachOnlyWhatTheyNeed(objects: readonly KubernetesObject[]): string[] {
  const reaches = (other: Other, port: number) => mayReach(objects, executor, other, port);
  const byIpv6 = ofKind(objects, "NetworkPolicy").some(({ metadata: { name } }) => name === "outerloop-internet-ipv6");
  const open = [...publicAddresses, ...(byIpv6 ? [publicV6Address] : [])];
  // Pods and nodes have such addresses in some clusters.
  const closed = [...insideAddresses, ...(byIpv6 ? [] : [publicV6Address])];
  return [
    ...(reaches(dns, 53) ? [] : ["workers have no DNS"]),
    ...(reaches(storeOf(objects, "postgres"), 5432) ? [] : ["workers do not reach Postgres"]),
    ...(reaches(storeOf(objects, "valkey"), 6379) ? [] : ["workers do not reach Redis"]),
    ...open.flatMap((address) => [
      ...(reaches({ address }, 443) ? [] : [`workers do not reach ${address}:443`]),
      ...[22, 25, 80, 5432]
        .filter((port) => reaches({ address }, port))
        .map((port) => `workers reach ${address}:${port}`),
    ]),
    ...closed.flatMap((address) =>
      [80, 443, 8080, 10250]
        .filter((port) => reaches({ address }, port))
        .map((port) => `workers reach ${address}:${port}`),
    ),
    ...[80, 443, 9464]
      .filter((port) => reaches({ namespace: "shop", labels: stranger }, port))
      .map((port) => `workers reach the pods of others at ${port}`),
  ];
}

export function nobodyReachesWorkersButMonitoring(objects: readonly KubernetesObject[]): string[] {
  const who: readonly Other[] = [
    { namespace: "shop", labels: stranger },
    { namespace: "outerloop", labels: stranger },
    { namespace: "outerloop", labels: ingress },
    { address: "1.1.1.1" },
    { address: "10.1.2.3" },
  ];
  const monitoring: Other = { namespace: "monitoring", labels: stranger };
  const reach = (to: Labels, other: Other, port: string) =>
    admits(rulesOf(objects, to, "Ingress"), "from", other, port, "outerloop");
  return [
    ...who
      .filter((other) => reach(executor, other, "probes"))
      .map((other) => `${JSON.stringify(other)} reaches workers`),
    ...who.filter((other) => reach(ingress, other, "probes")).map((other) => `${JSON.stringify(other)} reads metrics`),
    ...who.filter((other) => !reach(ingress, other, "http")).map((other) => `${JSON.stringify(other)} has no API`),
    ...[executor, ingress]
      .filter((to) => !reach(to, monitoring, "probes"))
      .map((to) => `Prometheus does not reach ${to["app.kubernetes.io/component"]}`),
  ];
}
