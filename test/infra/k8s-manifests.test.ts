/** The manifests of infra/k8s as kubectl would apply them: right by their schemas, and right to one another. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { readConfig } from "@outerloop/core";
import { parse } from "yaml";
import { describe, expect, test } from "vitest";
import { ensurePrograms, howToInstall, kubectl as program } from "../../scripts/servers/programs.mjs";
import { notRun } from "../support/servers.ts";
import * as network from "./support/k8s/checks/network.ts";
import * as pods from "./support/k8s/checks/pods.ts";
import * as references from "./support/k8s/checks/references.ts";
import * as scaling from "./support/k8s/checks/scaling.ts";
import {
  containersOf,
  manifestsPath,
  nameOf,
  ofKind,
  readManifest,
  render,
  renderOwn,
  renderWith,
  settingsOf,
  workloads,
  type Container,
  type KubernetesObject,
  type PodTemplate,
} from "./support/k8s/objects.ts";
import { schemaProblems } from "./support/k8s/schemas.ts";
import { matches } from "./support/k8s/selectors.ts";
import { blocksOf } from "./prometheus/files.ts";

type Objects = KubernetesObject[];
type Check = (objects: readonly KubernetesObject[]) => string[];

const find = (objects: Objects, kind: string, name: string) =>
  objects.find((object) => object.kind === kind && object.metadata.name === `outerloop${name}`)!;
const templateOf = (objects: Objects, name: string, kind = "Deployment") =>
  find(objects, kind, name)["spec"].template as PodTemplate;
const containerOf = (objects: Objects, name: string): Container => templateOf(objects, name).spec.containers[0]!;
const settings = (objects: Objects) => settingsOf(objects) as Record<string, string>;
const policy = (objects: Objects, name: string) => find(objects, "NetworkPolicy", name)["spec"];
const trigger = (objects: Objects, name: string) => find(objects, "ScaledObject", name)["spec"].triggers[0];
const retentionOf = (objects: Objects) =>
  find(objects, "CronJob", "-retention")["spec"].jobTemplate.spec.template.spec as PodTemplate["spec"];
const remove = (objects: Objects, kind: string, name: string) =>
  void objects.splice(objects.indexOf(find(objects, kind, name)), 1);

/** Each check, with faults that it must find in the manifests of production with what may be added to them. */
const { allIsInOneNamespace, ...ofReferences } = references;
const checks: readonly (readonly [Check, ...((objects: Objects) => void)[]])[] = [
  [
    references.selectorsMatchTheirOwnPodsOnly,
    (all) =>
      (find(all, "Deployment", "-planner")["spec"].selector.matchLabels = { "app.kubernetes.io/name": "outerloop" }),
    (all) => (templateOf(all, "-executor").metadata.labels = { "app.kubernetes.io/name": "outerlop" }),
  ],
  [
    references.servicesHavePods,
    (all) => (find(all, "Service", "-ingress")["spec"].selector["app.kubernetes.io/component"] = "ingres"),
    (all) => (find(all, "Service", "-ingress")["spec"].ports[0].targetPort = "https"),
    (all) => delete containerOf(all, "-ingress").ports,
  ],
  [
    references.everyServiceHasABudget,
    (all) => remove(all, "PodDisruptionBudget", "-executor"),
    (all) => (find(all, "PodDisruptionBudget", "-planner")["spec"].selector.matchLabels = {}),
  ],
  [
    references.everyServiceIsMonitored,
    (all) => (find(all, "PodMonitor", "")["spec"].podMetricsEndpoints[0].port = "metrics"),
    (all) => find(all, "PodMonitor", "")["spec"].selector.matchExpressions[0].values.pop(),
  ],
  [
    references.accountsAndSettingsExist,
    (all) => (templateOf(all, "-planner").spec.serviceAccountName = "outerloop-planer"),
    (all) => (containerOf(all, "-planner").envFrom![0]!.configMapRef!.name = "outerloop-settings"),
  ],
  [
    references.everyVariableIsKnown,
    (all) => (settings(all)["OUTERLOOP_DRAIN"] = "1"),
    (all) => (containerOf(all, "-executor").env![0]!.name = "REDIS_UR"),
  ],
  [
    references.everySecretIsInTheExample,
    (all) => (containerOf(all, "-executor").env![0]!.valueFrom!.secretKeyRef!.key = "REDIS"),
    (all) => (containerOf(all, "-executor").env![0]!.valueFrom!.secretKeyRef!.name = "outerloop"),
    (all) => (find(all, "TriggerAuthentication", "-database")["spec"].secretTargetRef[0].key = "DATABASE"),
  ],
  [
    references.commandsExist,
    (all) => (containerOf(all, "-executor").args = ["services/executer/src/main.ts"]),
    (all) => (templateOf(all, "-migrate", "Job").spec.containers[0]!.args = ["migrate"]),
    (all) => (templateOf(all, "-migrate", "Job").spec.containers[0]!.args![1] = "migrations"),
  ],
  [
    pods.podsAreRestricted,
    (all) => delete templateOf(all, "-planner").spec.securityContext,
    (all) => (templateOf(all, "-planner").spec.securityContext!.runAsUser = 0),
    (all) => delete templateOf(all, "-planner").spec.securityContext!.seccompProfile,
    (all) => delete templateOf(all, "-planner").spec.automountServiceAccountToken,
    (all) => delete templateOf(all, "-planner").spec.enableServiceLinks,
    (all) => (templateOf(all, "-planner").spec.hostNetwork = true),
    (all) => delete retentionOf(all).securityContext,
    (all) => delete retentionOf(all).containers[0]!.securityContext,
    (all) => templateOf(all, "-planner").spec.volumes!.push({ name: "host", hostPath: { path: "/" } }),
    (all) => delete containerOf(all, "-planner").securityContext!.allowPrivilegeEscalation,
    (all) => delete templateOf(all, "-planner").spec.initContainers![0]!.securityContext!.capabilities,
    (all) => (containerOf(all, "-planner").securityContext!.capabilities!.add = ["NET_ADMIN"]),
    (all) => delete containerOf(all, "-planner").securityContext!.readOnlyRootFilesystem,
    (all) => (containerOf(all, "-planner").securityContext!.runAsNonRoot = false),
  ],
  [
    pods.resourcesAreBounded,
    (all) => delete containerOf(all, "-planner").resources,
    (all) => delete templateOf(all, "-planner").spec.initContainers![0]!.resources!.limits,
    (all) => (containerOf(all, "-planner").resources!.requests = { cpu: "4", memory: "1Gi" }),
  ],
  [
    pods.memoryFits,
    (all) => (settings(all)["OUTERLOOP_ISOLATED_HEAP_MB"] = "1024"),
    (all) => (containerOf(all, "-executor").args![0] = "--max-old-space-size-percentage=90"),
    (all) => containerOf(all, "-ingress").args!.shift(),
  ],
  [
    pods.heapsAreNotInherited,
    (all) => (settings(all)["NODE_OPTIONS"] = "--max-old-space-size-percentage=75"),
    (all) =>
      containerOf(all, "-executor").env!.push({ name: "NODE_OPTIONS", value: "--max-old-space-size-percentage=75" }),
  ],
  [
    pods.podsHaveTimeToStop,
    (all) => (settings(all)["OUTERLOOP_DRAIN_MS"] = "80000"),
    (all) => delete templateOf(all, "-executor").spec.terminationGracePeriodSeconds,
    (all) => (containerOf(all, "-ingress").lifecycle!.preStop!.sleep!.seconds = 30),
  ],
  [pods.ingressOutlivesItsEndpoints, (all) => delete containerOf(all, "-ingress").lifecycle],
  [
    pods.servicesAreProbed,
    (all) => delete containerOf(all, "-planner").startupProbe,
    (all) => (containerOf(all, "-planner").readinessProbe!.httpGet!.port = "probe"),
    (all) => (containerOf(all, "-planner").livenessProbe!.httpGet!.path = "/readyz"),
    (all) => (containerOf(all, "-ingress").livenessProbe!.httpGet!.port = "http"),
    (all) => (settings(all)["OUTERLOOP_PROBE_PORT"] = "9465"),
    (all) => (settings(all)["PORT"] = "80"),
  ],
  [
    pods.servicesWaitForMigrations,
    (all) => (settings(all)["OUTERLOOP_MIGRATE"] = "true"),
    (all) => delete templateOf(all, "-reflector").spec.initContainers,
    (all) => templateOf(all, "-reflector").spec.initContainers![0]!.args!.pop(),
  ],
  [
    pods.theJobCanBeAppliedAgain,
    (all) => (find(all, "Job", "-migrate").metadata.annotations = {}),
    (all) =>
      delete (find(all, "Job", "-migrate").metadata.annotations as Record<string, string>)[
        "kustomize.toolkit.fluxcd.io/force"
      ],
  ],
  [
    pods.migrationsAreKeptAndHaveTime,
    (all) => (templateOf(all, "-migrate", "Job").spec.restartPolicy = "OnFailure"),
    (all) => (find(all, "Job", "-migrate")["spec"].ttlSecondsAfterFinished = 60),
    (all) => delete find(all, "Job", "-migrate")["spec"].ttlSecondsAfterFinished,
    (all) => (find(all, "Job", "-migrate")["spec"].activeDeadlineSeconds = 900),
    (all) => delete find(all, "Job", "-migrate")["spec"].activeDeadlineSeconds,
    (all) => (find(all, "Job", "-migrate")["spec"].backoffLimit = 0),
  ],
  [
    pods.retentionIsCareful,
    (all) => delete find(all, "CronJob", "-retention")["spec"].concurrencyPolicy,
    (all) => (find(all, "CronJob", "-retention")["spec"].failedJobsHistoryLimit = 0),
    (all) => delete find(all, "CronJob", "-retention")["spec"].jobTemplate.spec.activeDeadlineSeconds,
    (all) => (retentionOf(all).restartPolicy = "OnFailure"),
    (all) => (retentionOf(all).containers[0]!.args![3] = "0d"),
    (all) => retentionOf(all).containers[0]!.args!.splice(2),
  ],
  [
    pods.heapsCanBeLookedAt,
    (all) => (containerOf(all, "-executor").args = ["services/executor/src/main.ts"]),
    (all) => containerOf(all, "-ingress").args!.splice(2, 1),
  ],
  [
    pods.volumesFit,
    (all) => (containerOf(all, "-executor").volumeMounts![0]!.name = "temp"),
    (all) => (settings(all)["OUTERLOOP_DATA_DIR"] = "/var/data"),
    (all) => (containerOf(all, "-executor").volumeMounts = [{ name: "data", mountPath: "/data" }]),
  ],
  [
    pods.allRunOneImage,
    (all) => (templateOf(all, "-executor").spec.initContainers![0]!.image = "outerloop:0.0.9"),
    (all) =>
      all.forEach((each) =>
        each["spec"]?.template?.spec.containers.forEach((one: Container) => (one.image = "outerloop")),
      ),
  ],
  [
    pods.nothingSecretIsIn,
    (all) => (settings(all)["OPENAI_API_KEY"] = "sk-1"),
    (all) => (containerOf(all, "-executor").env![0] = { name: "REDIS_URL", value: "redis://redis" }),
    (all) => (settings(all)["OPENAI_BASE_URL"] = "https://me:hunter2@models.example"),
    (all) => all.push(...readManifest("secret.example.yaml")),
  ],
  [
    scaling.everyServiceIsScaledOnce,
    (all) => remove(all, "ScaledObject", "-planner"),
    (all) => (find(all, "ScaledObject", "-planner")["spec"].scaleTargetRef.name = "planner"),
    (all) => (find(all, "ScaledObject", "-planner")["spec"].scaleTargetRef.name = "outerloop-ingress"),
    (all) => (find(all, "ScaledObject", "-planner")["spec"].maxReplicaCount = 2),
    (all) => (find(all, "HorizontalPodAutoscaler", "-ingress")["spec"].minReplicas = 1),
    (all) => (find(all, "Deployment", "-planner")["spec"].replicas = 2),
  ],
  [
    scaling.triggersAskForTheirStage,
    (all) => (trigger(all, "-executor").metadata.query = "SELECT outerloop_load('reflect')"),
    (all) => (trigger(all, "-executor").type = "redis"),
    (all) => remove(all, "TriggerAuthentication", "-database"),
  ],
  [
    scaling.targetsFitSlots,
    (all) => (trigger(all, "-executor").metadata.targetQueryValue = "5"),
    (all) => (settings(all)["OUTERLOOP_PLANNER_SLOTS"] = "16"),
  ],
  [
    scaling.scalingIsGentle,
    (all) => delete find(all, "ScaledObject", "-executor")["spec"].advanced,
    (all) => delete find(all, "ScaledObject", "-executor")["spec"].fallback,
    (all) => (find(all, "HorizontalPodAutoscaler", "-ingress")["spec"].behavior.scaleDown.policies[0].value = 10),
  ],
  [
    scaling.tenantsCanUseAll,
    (all) => delete settings(all)["OUTERLOOP_TENANT_IN_FLIGHT"],
    (all) => (find(all, "ScaledObject", "-executor")["spec"].maxReplicaCount = 50),
  ],
  [
    network.policiesAreOfSomebody,
    (all) => (policy(all, "-api").podSelector.matchLabels["app.kubernetes.io/component"] = "api"),
    (all) => (policy(all, "-api").ingress[0].ports[0].port = "https"),
  ],
  [network.everyPodIsDeniedFirst, (all) => (policy(all, "-deny").podSelector.matchLabels.tier = "worker")],
  [
    network.workersReachOnlyWhatTheyNeed,
    (all) => remove(all, "NetworkPolicy", "-dns"),
    (all) => remove(all, "NetworkPolicy", "-postgres"),
    (all) => remove(all, "NetworkPolicy", "-redis"),
    (all) => remove(all, "NetworkPolicy", "-internet"),
    (all) => delete policy(all, "-internet").egress[0].to[0].ipBlock.except,
    (all) => policy(all, "-internet").egress[0].to[0].ipBlock.except.splice(4, 1),
    (all) => policy(all, "-internet").egress[0].to.push({ ipBlock: { cidr: "::/0" } }),
    (all) => (policy(all, "-internet-ipv6").egress[0].to[0].ipBlock.cidr = "::/0"),
    (all) => (policy(all, "-internet-ipv6").egress = []),
    (all) => ((find(all, "NetworkPolicy", "-internet-ipv6").metadata as { name: string }).name = "outerloop-v6"),
    (all) => delete policy(all, "-internet").egress[0].ports,
    (all) => delete policy(all, "-internet").egress[0].to,
    (all) => policy(all, "-internet").egress[0].to.push({ namespaceSelector: {} }),
  ],
  [
    network.jobsReachPostgresAlone,
    (all) => policy(all, "-postgres").podSelector.matchExpressions[0].values.pop(),
    (all) => policy(all, "-postgres").podSelector.matchExpressions[0].values.splice(4, 1),
    (all) => policy(all, "-redis").podSelector.matchExpressions[0].values.push("retention"),
    (all) => delete policy(all, "-internet").podSelector.matchExpressions,
    (all) => remove(all, "NetworkPolicy", "-dns"),
  ],
  [
    network.nobodyReachesWorkersButMonitoring,
    (all) => ((policy(all, "-api").podSelector.matchLabels = {}), delete policy(all, "-api").ingress[0].ports),
    (all) => (policy(all, "-monitoring").ingress[0].from = [{ podSelector: {} }]),
    (all) => delete policy(all, "-monitoring").ingress[0].from,
    (all) => remove(all, "NetworkPolicy", "-monitoring"),
    (all) => remove(all, "NetworkPolicy", "-api"),
  ],
];

const kubectl = (await ensurePrograms(program))?.["kubectl"];
if (kubectl === undefined) notRun("the manifests of infra/k8s", `kubectl 1.27+ not found; ${howToInstall(program)}`);
else suite(kubectl);

function suite(kubectl: string): void {
  const prod = render(kubectl, "overlays/prod");
  const overlays: Readonly<Record<string, Objects>> = {
    dev: render(kubectl, "overlays/dev"),
    prod,
    ...Object.fromEntries(
      [
        ["hpa"],
        ["keda-metrics-api"],
        ["pgbouncer"],
        ["redis-sentinel"],
        ["redis-cluster"],
        ["pgbouncer", "redis-sentinel", "keda-metrics-api"],
        ["retention", "internet-ipv6"],
        ["retention", "private-ca", "hpa"],
        ["model-config", "private-ca"],
      ].map((components) => [`prod with ${components.join(", ")}`, renderWith(kubectl, "overlays/prod", components)]),
    ),
  };
  const byName = (objects: Objects, kind: string) =>
    ofKind(objects, kind).map((each) => each.metadata.name.replace(/^outerloop-/, ""));

  describe.each(Object.entries(overlays))("%s", (_, objects) => {
    test("is right by the schemas, which know every field of it", () => {
      expect(objects.flatMap(schemaProblems)).toEqual([]);
    });

    test.each([...checks.map(([check]) => check), allIsInOneNamespace].map((check) => [words(check), check] as const))(
      "%s",
      (_name, check) => expect(check(objects)).toEqual([]),
    );

    test("has the four services and the migrations", () => {
      expect(byName(objects, "Deployment").toSorted()).toEqual(["executor", "ingress", "planner", "reflector"]);
      expect(byName(objects, "Job")).toEqual(["migrate"]);
    });
  });

  test("every check is made", () => {
    const made = new Set<unknown>([...checks.map(([check]) => check), allIsInOneNamespace]);
    const written = Object.entries({ ...ofReferences, ...pods, ...scaling, ...network });
    const notChecks = new Set<string>(["isOurs", "quantity", "memoryOf", "heapOf", "besideHeap", "mayReach"]);
    expect(written.filter(([name, check]) => !notChecks.has(name) && !made.has(check)).map(([name]) => name)).toEqual(
      [],
    );
  });

  test.each(
    checks.flatMap(([check, ...faults]) =>
      faults.map((plant, index) => [words(check), index + 1, check, plant] as const),
    ),
  )("%s: planted fault %i is found", (_name, _index, check, plant) => {
    const objects = structuredClone(overlays["prod with retention, internet-ipv6"]!);
    plant(objects);
    expect(check(objects)).not.toEqual([]);
  });

  test("an object in another namespace is found", () => {
    const objects = structuredClone(prod);
    find(objects, "Service", "-ingress").metadata.namespace = "default";
    expect(allIsInOneNamespace(objects)).toHaveLength(1);
  });

  test("a URL of the metrics API that names another namespace is found", () => {
    const objects = structuredClone(overlays["prod with keda-metrics-api"]!);
    trigger(objects, "-executor").metadata.url = "http://outerloop-ingress-probes.default.svc:9464/scaling";
    expect(scaling.triggersAskForTheirStage(objects)).toHaveLength(1);
  });

  test.each<[string, string, string, (object: KubernetesObject) => void]>([
    [
      "a misspelt field",
      "Deployment",
      "-executor",
      (one) => (one["spec"].template.spec.containers[0].livenessProb = {}),
    ],
    ["a field in the wrong place", "Deployment", "-executor", (one) => (one["spec"].template.spec.resources2 = {})],
    ["a field beside spec", "Job", "-migrate", (one) => (one["Spec"] = {})],
    ["a value of the wrong type", "Service", "-ingress", (one) => (one["spec"].ports[0].port = "http")],
    ["a required field left out", "NetworkPolicy", "-dns", (one) => delete one["spec"].egress[0].to[1].ipBlock.cidr],
    ["a misspelt field of KEDA", "ScaledObject", "-executor", (one) => (one["spec"].minReplicas = 1)],
    ["a misspelt field of its trigger", "ScaledObject", "-executor", (one) => (one["spec"].triggers[0].metaData = {})],
    ["a misspelt field of a monitor", "PodMonitor", "", (one) => (one["spec"].podMetricsEndpoints[0].Interval = "1s")],
    ["a misspelt field of a rule", "PrometheusRule", "", (one) => (one["spec"].groups[0].rules[0].record2 = "x")],
    [
      "a kind of another version",
      "HorizontalPodAutoscaler",
      "-ingress",
      (one) => (one.apiVersion = "autoscaling/v2beta2"),
    ],
  ])("the schemas refuse %s", (_what, kind, name, plant) => {
    const object = structuredClone(find(prod, kind, name));
    plant(object);
    expect(schemaProblems(object)).toHaveLength(1);
  });

  test("base alone renders, in no namespace", () => {
    const base = render(kubectl, "base");
    expect(base.flatMap(schemaProblems)).toEqual([]);
    expect(base.filter((object) => object.metadata.namespace !== undefined)).toEqual([]);
  });

  test.each(["examples/ingress.yaml", "examples/http-route.yaml", "secret.example.yaml"])(
    "%s is right by its schema",
    (path) => expect(readManifest(path).flatMap(schemaProblems)).toEqual([]),
  );

  test("the examples lead to the API's Service", () => {
    const [service] = ofKind(prod, "Service").filter((each) => each.metadata.name === "outerloop-ingress");
    const { name, port } = readManifest("examples/ingress.yaml")[0]!["spec"].rules[0].http.paths[0].backend.service;
    expect([name, port.name]).toEqual([service!.metadata.name, service!["spec"].ports[0].name]);
    const [reference] = readManifest("examples/http-route.yaml")[0]!["spec"].rules[0].backendRefs;
    expect([reference.name, reference.port]).toEqual([service!.metadata.name, service!["spec"].ports[0].port]);
  });

  test("KEDA gives way to the HorizontalPodAutoscalers", () => {
    expect(byName(overlays["prod with hpa"]!, "ScaledObject")).toEqual([]);
    expect(byName(overlays["prod with hpa"]!, "TriggerAuthentication")).toEqual([]);
    expect(byName(overlays["prod with hpa"]!, "HorizontalPodAutoscaler").toSorted()).toEqual([
      "executor",
      "ingress",
      "planner",
      "reflector",
    ]);
  });

  test("with PgBouncer everything gets the way around it", () => {
    const objects = overlays["prod with pgbouncer"]!;
    for (const each of ofKind(objects, "Deployment", "Job"))
      for (const container of containersOf(each["spec"].template.spec))
        expect(
          container.env?.map(({ name }) => name),
          nameOf(each),
        ).toContain("DATABASE_DIRECT_URL");
    expect(policy(objects, "-postgres").egress[0].ports).toHaveLength(2);
  });

  test("Sentinel and Cluster are settings of their own, and change the pods", () => {
    expect(settingsOf(overlays["prod with redis-sentinel"]!)).toMatchObject({
      REDIS_MODE: "sentinel",
      REDIS_SENTINEL_NAME: "mymaster",
    });
    expect(settingsOf(overlays["prod with redis-cluster"]!)).toMatchObject({ REDIS_MODE: "cluster" });
    const portsOf = (objects: Objects) =>
      policy(objects, "-redis").egress[0].ports.map((each: { port: number }) => each.port);
    expect(portsOf(overlays["prod with redis-sentinel"]!)).toEqual([6379, 26379]);
    const mapOf = (objects: Objects) => containerOf(objects, "-executor").envFrom![0]!.configMapRef!.name;
    expect(mapOf(overlays["prod with redis-cluster"]!)).not.toBe(mapOf(prod));
  });

  test("hpa is all there is on base, and scales ingress too", () => {
    const objects = renderWith(kubectl, "base", ["hpa"]);
    expect(byName(objects, "HorizontalPodAutoscaler")).toHaveLength(4);
    expect([...scaling.everyServiceIsScaledOnce(objects), ...scaling.scalingIsGentle(objects)]).toEqual([]);
  });

  test("with a CA of your own every process trusts it", () => {
    const file = "/etc/outerloop/ca.crt";
    for (const { object, pod } of workloads(overlays["prod with retention, private-ca, hpa"]!)) {
      expect(pod.volumes, nameOf(object)).toContainEqual({ name: "ca", configMap: { name: "outerloop-ca" } });
      for (const { env, volumeMounts } of containersOf(pod)) {
        expect(env, nameOf(object)).toContainEqual({ name: "NODE_EXTRA_CA_CERTS", value: file });
        expect(volumeMounts).toContainEqual({ name: "ca", mountPath: dirname(file), readOnly: true });
      }
    }
  });

  test("the alert on memory is above what a service has by its heap, and below its limit", () => {
    const rules = readFileSync(`${manifestsPath}../prometheus/rules.yaml`, "utf8");
    const [, gibibytes] = /process_resident_memory_bytes > ([\d.]+) \* 1024 \^ 3/.exec(rules)!;
    for (const { metadata, spec } of ofKind(prod, "Deployment")) {
      const { heap, limit } = pods.memoryOf(spec.template.spec.containers[0]);
      expect(heap! + pods.besideHeap, metadata.name).toBeLessThan(Number(gibibytes) * 2 ** 30);
      expect(Number(gibibytes) * 2 ** 30, metadata.name).toBeLessThan(limit);
    }
  });

  test("a pod to look around with is restricted, and reaches what the planner does", () => {
    const [debug] = readManifest("examples/debug.yaml");
    expect(schemaProblems(debug!)).toEqual([]);
    for (const check of [pods.podsAreRestricted, pods.resourcesAreBounded, references.everySecretIsInTheExample])
      expect(check([debug!])).toEqual([]);
    for (const port of [5432, 6379])
      expect(network.mayReach(prod, debug!.metadata.labels!, { address: "10.1.2.3" }, port)).toBe(true);
    // It waits for us and is not asked by others: no Service sends it requests.
    for (const service of ofKind(prod, "Service"))
      expect(matches({ matchLabels: service["spec"].selector }, debug!.metadata.labels!)).toBe(false);
  });

  test("stores inside the cluster are reached as pods, and nothing at their ports by address", () => {
    const objects = renderOwn(kubectl, (manifests) =>
      JSON.stringify({
        resources: [`${manifests}/overlays/prod`],
        patches: readManifest("examples/stores-in-cluster.yaml").map((patch) => ({ patch: JSON.stringify(patch) })),
      }),
    );
    expect(objects.flatMap(schemaProblems)).toEqual([]);
    const { labels } = templateOf(objects, "-executor").metadata;
    const at = (pod: Record<string, string>) => ({ namespace: "databases", labels: pod });
    expect(network.mayReach(objects, labels, at({ "cnpg.io/cluster": "outerloop" }), 5432)).toBe(true);
    expect(network.mayReach(objects, labels, at({ app: "pgbouncer" }), 6432)).toBe(true);
    expect(network.mayReach(objects, labels, at({ app: "valkey" }), 6379)).toBe(true);
    expect(network.mayReach(objects, labels, at({ app: "stranger" }), 5432)).toBe(false);
    for (const port of [5432, 6379])
      expect(network.mayReach(objects, labels, { address: "10.1.2.3" }, port)).toBe(false);
  });

  describe("docs/kubernetes.md", () => {
    const text = readFileSync(`${manifestsPath}../../docs/kubernetes.md`, "utf8");
    const [overlay, ...more] = blocksOf(text, "yaml");

    test("its overlay changes what it says", () => {
      const objects = renderOwn(kubectl, (manifests) => overlay!.replace("../outerloop/infra/k8s", manifests));
      expect(objects.flatMap(schemaProblems)).toEqual([]);
      expect([...pods.allRunOneImage(objects), ...allIsInOneNamespace(objects)]).toEqual([]);
      expect(containerOf(objects, "-executor").image).toBe("registry.example.com/outerloop:0.1.0");
      expect(settingsOf(objects)).toMatchObject({ OUTERLOOP_MODEL: "openai/gpt-5.6-luna", PORT: "4000" });
      for (const name of ["-postgres", "-redis"])
        expect(policy(objects, name).egress[0].to).toEqual([{ ipBlock: { cidr: "10.20.0.0/24" } }]);
      for (const component of readdirSync(`${manifestsPath}components`)) expect(text).toContain(`\`${component}\``);
    });

    test("its further patches change what they say", () => {
      const patched = more.map((block) => {
        const { patches } = parse(block) as { patches: unknown[] };
        return renderOwn(kubectl, (manifests) =>
          JSON.stringify({ resources: [`${manifests}/overlays/prod`], patches }),
        );
      });
      const [secrets, dns] = patched;
      expect(patched).toHaveLength(2);
      expect(patched.flat().flatMap(schemaProblems)).toEqual([]);
      for (const { metadata, imagePullSecrets } of ofKind(secrets!, "ServiceAccount"))
        expect(imagePullSecrets, metadata.name).toEqual([{ name: "registry" }]);
      const { labels } = templateOf(dns!, "-executor").metadata;
      expect(network.mayReach(dns!, labels, { address: "10.96.0.10" }, 53)).toBe(true);
      const openShift = { namespace: "openshift-dns", labels: {} };
      expect(network.mayReach(dns!, labels, openShift, 5353)).toBe(true);
      expect(network.mayReach(dns!, labels, openShift, 53)).toBe(false);
    });

    test("it reckons connections from what prod may start", () => {
      const most = ofKind(prod, "ScaledObject", "HorizontalPodAutoscaler")
        .map(({ spec }) => (spec.maxReplicaCount ?? spec.maxReplicas) as number)
        .reduce((sum, each) => sum + each, 0);
      const [, reckoned, connections] = /(\d+) pods × (\d+) × 1\.3/.exec(text)!;
      expect([Number(reckoned), Number(connections)]).toEqual([
        most,
        readConfig({ DATABASE_URL: "postgres://host/database" }, "/").dbConnections,
      ]);
    });

    test("what it applies and looks at is there", () => {
      for (const [, path] of text.matchAll(/infra\/k8s\/((?:examples|overlays|components)\/[\w./-]+)/g))
        expect(existsSync(manifestsPath + path), path).toBe(true);
    });
  });

  // Renewed by `vitest run -u` on this file.
  test("the PrometheusRule is infra/prometheus/rules.yaml, to the letter", async () => {
    const rules = readFileSync(`${manifestsPath}../prometheus/rules.yaml`, "utf8");
    const file = `${manifestsPath}components/monitoring/prometheus-rule.yaml`;
    await expect(asPrometheusRule(rules)).toMatchFileSnapshot(file);
    // kustomize writes line ends of its own into expressions, which mean nothing there.
    const folded = (value: unknown) =>
      JSON.parse(
        JSON.stringify(value, (_, each: unknown) => (typeof each === "string" ? each.replaceAll(/\s+/g, " ") : each)),
      ) as unknown;
    expect(folded(find(prod, "PrometheusRule", "")["spec"])).toEqual(folded(parse(rules)));
  });
}

/** The same rules for the Prometheus operator. */
function asPrometheusRule(rules: string): string {
  const head = `# infra/prometheus/rules.yaml for the Prometheus operator; change it there (test/infra/k8s-manifests.test.ts).
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: outerloop
  labels:
    app.kubernetes.io/name: outerloop
spec:
`;
  return head + rules.replaceAll(/^(?=.)/gm, "  ");
}

/** Of a function's name: what it claims. */
function words(check: Check): string {
  return check.name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
