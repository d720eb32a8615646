/** What an expression of PromQL asks for, by Prometheus' own grammar. */
import { parser } from "@prometheus-io/lezer-promql";
import type { SyntaxNode } from "@lezer/common";

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
}

export interface Expression {
  readonly selectors: readonly Selector[];
  /** Of `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`. */
  readonly groupings: readonly string[];
  /** What `label_replace` and `label_join` add. */
  readonly made: readonly string[];
  /** The labels that are left by an aggregation that is the whole expression; null where it is something else. */
  readonly keeps: readonly string[] | null;
}

/** @throws where it is no PromQL, or selects series without naming a metric */
export function readExpression(text: string): Expression {
  const tree = parser.parse(text);
  const of = (node: SyntaxNode) => text.slice(node.from, node.to);
  const selectors: Selector[] = [];
  const groupings: string[] = [];
  const made: string[] = [];
  tree.iterate({
    enter({ type, node, from }) {
      if (type.isError) throw new Error(`not PromQL at ${from}: ${text}`);
      if (type.name === "VectorSelector") selectors.push(readSelector(node, of));
      if (type.name === "GroupingLabels") groupings.push(...node.getChildren("LabelName").map(of));
      if (type.name === "FunctionCall" && /^label_(replace|join)$/.test(of(node.getChild("FunctionIdentifier")!))) {
        const [label] = node.getChild("FunctionCallBody")!.getChildren("StringLiteral");
        made.push(unquote(of(label!)));
      }
    },
  });
  const by = tree.topNode.firstChild?.getChild("AggregateModifier");
  const keeps = by?.getChild("By") ? by.getChild("GroupingLabels")!.getChildren("LabelName").map(of) : null;
  return { selectors, groupings, made, keeps };
}

function readSelector(node: SyntaxNode, of: (node: SyntaxNode) => string): Selector {
  const name = node.getChild("Identifier");
  if (name === null) throw new Error(`selects no metric by its name: ${of(node)}`);
  const matchers = node.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? [];
  return {
    metric: of(name),
    matchers: matchers.map((matcher) => ({
      label: of(matcher.getChild("LabelName")!),
      operator: of(matcher.getChild("MatchOp")!),
      value: unquote(of(matcher.getChild("StringLiteral")!)),
    })),
  };
}

function unquote(literal: string): string {
  return literal.startsWith('"') ? (JSON.parse(literal) as string) : literal.slice(1, -1);
}
