/** The rules, their pages and the board, as data. */
import { readdirSync, readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";

const root = new URL("../../../", import.meta.url);

const ruleSchema = z.union([
  z.strictObject({ record: z.string(), expr: z.string() }),
  z.strictObject({
    alert: z.string().regex(/^Outerloop[A-Z]\w+$/),
    expr: z.string(),
    for: z.string().optional(),
    labels: z.strictObject({ severity: z.enum(["critical", "warning"]) }),
    annotations: z.strictObject({ summary: z.string(), description: z.string(), runbook_url: z.url() }),
  }),
]);
const fileSchema = z.strictObject({
  groups: z.array(z.strictObject({ name: z.string(), rules: z.array(ruleSchema).min(1) })).min(1),
});

export type Rule = z.infer<typeof ruleSchema>;
export type Alert = Extract<Rule, { alert: string }>;

export const rulesText = () => readFileSync(new URL("infra/prometheus/rules.yaml", root), "utf8");
export const readRules = (): readonly Rule[] =>
  fileSchema.parse(parse(rulesText())).groups.flatMap((group) => group.rules);
export const readAlerts = (): readonly Alert[] => readRules().filter((rule) => "alert" in rule);

/** Every page in docs/runbooks but the index: name → text. */
export function readPages(): ReadonlyMap<string, string> {
  const folder = new URL("docs/runbooks/", root);
  const names = readdirSync(folder).filter((name) => name !== "README.md");
  return new Map(names.map((name) => [name.replace(/\.md$/, ""), readFileSync(new URL(name, folder), "utf8")]));
}

export const readIndex = () => readFileSync(new URL("docs/runbooks/README.md", root), "utf8");

/** The code blocks of one language. */
export const blocksOf = (text: string, language: string): readonly string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, code]) => code!);

const boardSchema = z.looseObject({
  uid: z.string(),
  schemaVersion: z.number(),
  annotations: z.looseObject({ list: z.array(z.looseObject({ expr: z.string() })) }),
  templating: z.looseObject({ list: z.array(z.looseObject({ name: z.string(), type: z.string() })) }),
  panels: z.array(
    z.looseObject({
      id: z.number(),
      type: z.string(),
      title: z.string(),
      gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
      datasource: z.object({ type: z.string(), uid: z.string() }).optional(),
      links: z.array(z.looseObject({ url: z.string() })).optional(),
      targets: z.array(z.looseObject({ expr: z.string(), datasource: z.looseObject({ uid: z.string() }) })).optional(),
    }),
  ),
});

export const readBoard = () =>
  boardSchema.parse(JSON.parse(readFileSync(new URL("infra/grafana/outerloop.json", root), "utf8")));

/** All expressions of the board; Grafana's variables for ranges stand for one. */
export function boardExpressions(): readonly string[] {
  const { panels, annotations } = readBoard();
  return [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...annotations.list.map(({ expr }) => expr),
  ].map((expr) => expr.replaceAll(/\$__(rate_interval|range)/g, "5m"));
}
