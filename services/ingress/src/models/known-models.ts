/** Whether what a goal says about its models can be meant, as far as the processes tell that call them. */
import { readModelState, type Db, type RouteOverrides } from "@outerloop/core";
import { invalid } from "../http/problem.ts";

/** Wishes name providers that some process has; where none has told yet, its worker decides. */
export async function requireKnown(db: Db, wishes: RouteOverrides, field: string): Promise<void> {
  const named = Object.entries(wishes).flatMap(([stage, names]) => (names ?? []).map((name) => ({ stage, name })));
  if (named.length === 0) return;
  const { views } = await readModelState(db);
  const [view] = views;
  if (view === undefined) return;
  const known = new Set(["offline", ...views.flatMap((each) => each.providers.map((provider) => provider.name))]);
  const routed = new Set(
    views.flatMap((each) => each.routes.flatMap((route) => route.models.map((model) => model.name))),
  );
  for (const { stage, name } of named) {
    const provider = name.slice(0, name.indexOf("/"));
    if (view.overrides === "none") throw invalid(`${field}.${stage}`, "this installation lets no goal name models");
    if (!known.has(provider))
      throw invalid(`${field}.${stage}`, `no provider is called "${provider}"; there are ${[...known].join(", ")}`);
    if (view.overrides === "routed" && !routed.has(name))
      throw invalid(`${field}.${stage}`, `${name} is in no route of this installation`);
  }
}
