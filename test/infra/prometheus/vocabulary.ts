/** Which metrics and labels there are, and what an expression uses that is not among them. */
import { readExpression, type Selector } from "./promql.ts";

/** Labels by metric, each with the values that were seen. */
export type Vocabulary = Map<string, Map<string, Set<string>>>;

/** What Prometheus, or the configuration in infra/prometheus, adds to every series that it scrapes. */
const targetLabels = ["job", "instance", "namespace", "pod"];

/** @param texts what `/metrics` of several processes said */
export function vocabularyOf(texts: readonly string[]): Vocabulary {
  const found: Vocabulary = new Map();
  // A sample is its selector, a space and a number.
  const samples = texts.flatMap((text) => text.split("\n")).filter((line) => line !== "" && !line.startsWith("#"));
  for (const sample of samples) {
    const [{ metric, matchers }] = readExpression(sample.slice(0, sample.lastIndexOf(" "))).selectors as [Selector];
    const labels = found.get(metric) ?? new Map<string, Set<string>>();
    found.set(metric, labels);
    for (const { label, value } of matchers) labels.set(label, (labels.get(label) ?? new Set()).add(value));
  }
  return found;
}

/** What is wrong with an expression; nothing if it can be answered. */
export function misuse(text: string, vocabulary: Vocabulary): string[] {
  const { selectors, groupings, made } = readExpression(text);
  const wrong = selectors.flatMap(({ metric, matchers }) => {
    const labels = vocabulary.get(metric);
    if (labels === undefined) return [`no metric ${metric}`];
    return matchers.flatMap(({ label, operator, value }) => {
      if (targetLabels.includes(label)) return [];
      const values = labels.get(label);
      if (values === undefined) return [`${metric} has no label ${label}`];
      const asked = operator.endsWith("~") ? value.split("|") : [value];
      // None seen: the metric is declared and has not counted yet.
      return asked
        .filter((each) => values.size > 0 && !values.has(each))
        .map((each) => `${metric} has no ${label} ${each}`);
    });
  });
  const known = new Set([
    ...targetLabels,
    ...made,
    ...selectors.flatMap(({ metric }) => [...(vocabulary.get(metric)?.keys() ?? [])]),
  ]);
  return [
    ...wrong,
    ...groupings.filter((label) => !known.has(label)).map((label) => `nothing in it has a label ${label}`),
  ];
}

/** A series that a rule records, for the expressions after it. */
export function record(name: string, text: string, vocabulary: Vocabulary): void {
  const { selectors, made, keeps } = readExpression(text);
  const labels = new Map<string, Set<string>>(made.map((label) => [label, new Set()]));
  for (const { metric } of selectors)
    for (const [label, values] of vocabulary.get(metric) ?? [])
      labels.set(label, new Set([...(labels.get(label) ?? []), ...values]));
  if (keeps !== null) for (const label of labels.keys()) if (!keeps.includes(label)) labels.delete(label);
  vocabulary.set(name, labels);
}
