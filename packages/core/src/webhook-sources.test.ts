import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { readConfig } from "./config.ts";
import { parseWebhookSources, type WebhookSource } from "./webhook-sources.ts";

const secret = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
const plain = "hidden-secret-of-some-length";

const parse = (sources: unknown) => parseWebhookSources(JSON.stringify(sources));
const sourceOf = (source: unknown): WebhookSource => {
  const parsed = parse({ x: source });
  if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed[0]!;
};
const bytesOf = ({ signing }: WebhookSource) => signing.secrets.map((key) => key.export());

test("a source needs a secret, and has a default for everything else", () => {
  const source = sourceOf({ secret });
  expect(source).toMatchObject({
    name: "x",
    tenantId: "default",
    signing: { scheme: "standard" },
    when: { headers: [], fields: [] },
    goal: null,
    session: null,
  });
  expect(bytesOf(source)).toEqual([Buffer.alloc(24, 7)]);
  expect(bytesOf(sourceOf({ secret: secret.slice("whsec_".length) }))).toEqual([Buffer.alloc(24, 7)]);
});

test("a source may say all of it", () => {
  const source = sourceOf({
    scheme: "sha256",
    secret: [plain, "the-one-before-it-000"],
    signature_header: "X-Signature",
    signature_prefix: "",
    delivery_header: null,
    tenant: "team",
    when: { headers: { "X-GitHub-Event": ["issues"] }, fields: { action: ["opened"], "issue.draft": [false] } },
    goal: "Look at {{issue.title}}",
    session: "issue-{{issue.number}}",
    budget: { steps: 20, usd: 1.5 },
    planning: { every_n: 3 },
    priority: 5,
    labels: { from: "github" },
  });
  expect(source).toMatchObject({
    tenantId: "team",
    signing: { scheme: "sha256", signatureHeader: "x-signature", signaturePrefix: "", deliveryHeader: null },
    when: {
      headers: [{ name: "x-github-event", values: ["issues"] }],
      fields: [
        { path: ["action"], values: ["opened"] },
        { path: ["issue", "draft"], values: [false] },
      ],
    },
    goal: [{ text: "Look at " }, { path: ["issue", "title"] }],
    session: [{ text: "issue-" }, { path: ["issue", "number"] }],
    settings: { budget: { steps: 20, usd: 1.5 }, planning: { every_n: 3 }, priority: 5, labels: { from: "github" } },
  });
  expect(bytesOf(source).map(String)).toEqual([plain, "the-one-before-it-000"]);
});

test("as GitHub signs unless it is said otherwise", () => {
  expect(sourceOf({ scheme: "sha256", secret: plain }).signing).toMatchObject({
    signatureHeader: "x-hub-signature-256",
    signaturePrefix: "sha256=",
    deliveryHeader: "x-github-delivery",
  });
});

describe("what is wrong is told with its place, and no secret", () => {
  const many = (of: number) => Object.fromEntries(Array.from({ length: of }, (_, n) => [`n${n}`, "x"]));
  test.each<[string, unknown, string, string | RegExp]>([
    ["no object", [], "", /must be an object such as/],
    ["a source that is none", { x: 7 }, ".x", "must be an object"],
    ["a source that is a list", { x: [] }, ".x", "must be an object"],
    ["a bad name", { "Git Hub": { secret } }, ".Git Hub", /lower-case/],
    ["no secret", { x: {} }, ".x.secret", "must be a secret, or a list of them"],
    ["an empty list", { x: { secret: [] } }, ".x.secret", "must not be empty"],
    ["no base64", { x: { secret: "hidden secret" } }, ".x.secret.0", /must be base64/],
    ["too short", { x: { secret: [secret, "whsec_aGlkZGVu"] } }, ".x.secret.1", "must be base64 of 16 to 512 bytes"],
    ["a public key", { x: { secret: "whpk_aGlkZGVu" } }, ".x.secret.0", /must be base64/],
    ["too short", { x: { scheme: "sha256", secret: "hidden" } }, ".x.secret.0", /at least 16 characters/],
    ["an unknown scheme", { x: { secret, scheme: "md5" } }, ".x.scheme", /must be "standard" or "sha256"/],
    ["an unknown field", { x: { secret, secrte: 1 } }, ".x.secrte", "is not a known field"],
    ["one of the other scheme", { x: { secret, signature_header: "a" } }, ".x.signature_header", /not a known field/],
    ["no header", { x: { scheme: "sha256", secret: plain, signature_header: "a b" } }, ".x.signature_header", /header/],
    ["a bad template", { x: { secret, goal: "{{a" } }, ".x.goal", "has a {{ without its }}"],
    ["an empty template", { x: { secret, goal: " " } }, ".x.goal", "must not be empty"],
    ["a long template", { x: { secret, goal: "a".repeat(20_001) } }, ".x.goal", "at most 20000 characters"],
    ["a bad session", { x: { secret, session: "{{}}" } }, ".x.session", /no path/],
    ["a bad budget", { x: { secret, budget: { steps: 0 } } }, ".x.budget.steps", /./],
    ["a bad planning", { x: { secret, planning: "never" } }, ".x.planning", /form/],
    ["a bad priority", { x: { secret, priority: 101 } }, ".x.priority", /./],
    ["too many labels", { x: { secret, labels: many(49) } }, ".x.labels", "at most 48 entries"],
    ["a bad path", { x: { secret, when: { fields: { "a..b": ["x"] } } } }, ".x.when.fields.a..b", /path/],
    ["no values", { x: { secret, when: { fields: { a: [] } } } }, ".x.when.fields.a", "must not be empty"],
    ["one value", { x: { secret, when: { headers: { a: "x" } } } }, ".x.when.headers.a", "must be a list of values"],
    ["a value that is none", { x: { secret, when: { fields: { a: [{}] } } } }, ".x.when.fields.a.0", /a text/],
    ["an unknown filter", { x: { secret, when: { event: ["x"] } } }, ".x.when.event", "is not a known field"],
    ["an empty tenant", { x: { secret, tenant: "" } }, ".x.tenant", "must not be empty"],
    ["too many", Object.fromEntries(Array.from({ length: 201 }, (_, n) => [`s${n}`, { secret }])), "", /200 sources/],
  ])("%s", (_title, sources, field, says) => {
    const parsed = parse(sources);
    expect(parsed).toEqual({
      problems: [
        {
          field: `OUTERLOOP_WEBHOOKS${field}`,
          message: typeof says === "string" ? says : expect.stringMatching(says),
        },
      ],
    });
    expect(JSON.stringify(parsed)).not.toMatch(/hidden|aGlkZGVu/);
  });

  test("JSON that is none is told by its place alone", () => {
    const bad = () => readConfig({ OUTERLOOP_WEBHOOKS: '{"x": {"secret": "hidden" "' });
    expect(bad).toThrow(/OUTERLOOP_WEBHOOKS: is not valid JSON, from character 26 on/);
    expect(bad).not.toThrow(/hidden/);
  });

  test("everything that is wrong is told at once", () => {
    const parsed = parse({ a: {}, b: { secret, goal: "{{" } });
    expect("problems" in parsed && parsed.problems.map((problem) => problem.field)).toEqual([
      "OUTERLOOP_WEBHOOKS.a.secret",
      "OUTERLOOP_WEBHOOKS.b.goal",
    ]);
  });
});

test("a secret is not shown by what shows configuration", () => {
  const config = readConfig({ OUTERLOOP_WEBHOOKS: JSON.stringify({ x: { scheme: "sha256", secret: plain } }) });
  expect(config.webhooks.sources).toHaveLength(1);
  const bytes = Buffer.from(plain).toString("base64");
  for (const shown of [JSON.stringify(config), inspect(config, { depth: 10, showHidden: true })]) {
    expect(shown).toContain("x-hub-signature-256");
    expect(shown).not.toMatch(new RegExp(`hidden|${RegExp.escape(bytes)}`));
  }
});

test("without the variable there are no sources; limits have defaults and bounds", () => {
  expect(readConfig({}).webhooks).toEqual({ sources: [], toleranceMs: 300_000, maxBytes: 1_048_576 });
  expect(() => readConfig({ OUTERLOOP_WEBHOOK_TOLERANCE_MS: "1" })).toThrow(/OUTERLOOP_WEBHOOK_TOLERANCE_MS/);
  expect(() => readConfig({ OUTERLOOP_MAX_WEBHOOK_BYTES: "30000000" })).toThrow(/OUTERLOOP_MAX_WEBHOOK_BYTES/);
});
