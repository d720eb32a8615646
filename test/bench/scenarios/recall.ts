/**
 * Whether the runtime learns: a goal of a kind that was served before, with the lessons of that one, with those of an
 * unrelated goal, and with none. The offline model answers, which reads nothing of its memory but lessons. Each memory is
 * a whole new installation that served just the goals named, so it holds what those left, and is reached as always.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { collectAttachments } from "@outerloop/cli";
import { createClient, type Client } from "@outerloop/client";
import { citationHolds, findCitations } from "@outerloop/core/domain";
import type { Bench } from "../bench.ts";
import { deployEmbedded } from "../deployment.ts";
import { median } from "../statistics.ts";
import { condition } from "./figure-kinds.ts";
import { recallPairs } from "./recall-pairs.ts";

const examples = new URL("../../../examples/", import.meta.url);
const corpus = new URL("vector-search/", examples);
const quickPairs = 1;

const calls = { unit: "calls", better: "lower" } as const;
const percent = { unit: "%", better: "higher" } as const;

interface Served {
  readonly toolCalls: number;
  readonly modelCalls: number;
  readonly answered: ReadonlySet<string>;
  readonly brokenCitations: number;
}

export async function recall({ figures, options, say }: Bench): Promise<void> {
  const pairs = options.isQuick ? recallPairs.slice(0, quickPairs) : recallPairs;
  const saved = { own: [] as number[], swapped: [] as number[] };
  const answered = { empty: 0, own: 0, swapped: 0 };
  let broken = 0;
  for (const [at, { name, first, second, answers }] of pairs.entries()) {
    say(`recall, ${name}: pair ${at + 1} of ${pairs.length}`);
    const unrelated = recallPairs[(at + 1) % recallPairs.length]!.first;
    // Side by side: what is counted does not depend on the time it takes.
    const [[served, own], [, swapped], [empty]] = await Promise.all([
      serve(first, second),
      serve(unrelated, second),
      serve(second),
    ]);
    const runs = { first: served!, own: own!, swapped: swapped!, empty: empty! };
    for (const [kind, run] of Object.entries(runs)) {
      figures.add(`recall/tool_calls/${kind}`, run.toolCalls, calls);
      figures.add(`recall/model_calls/${kind}`, run.modelCalls, calls);
      broken += run.brokenCitations;
    }
    for (const kind of ["own", "swapped"] as const) {
      const percentSaved = (1 - runs[kind].toolCalls / runs.empty.toolCalls) * 100;
      saved[kind].push(percentSaved);
      figures.add(`recall/saved_percent/${kind}`, percentSaved, percent);
    }
    for (const kind of ["empty", "own", "swapped"] as const)
      if (answers.some((place) => runs[kind].answered.has(place))) answered[kind] += 1;
  }
  figures.add("recall/least_saved_own", Math.min(...saved.own), percent);
  figures.add("recall/most_saved_swapped", Math.max(...saved.swapped), condition("%"));
  figures.add("recall/broken_citations", broken, { unit: "citations", better: "lower" });
  for (const [kind, count] of Object.entries(answered))
    figures.add(`recall/answered/${kind}`, count, { unit: `of ${pairs.length}`, better: "higher" });
  say(
    `recall: ${Math.round(median(saved.own))} % fewer tool calls, ${Math.round(median(saved.swapped))} % with other lessons`,
  );
}

/** Goals served one after the other by an installation of their own. */
async function serve(...goals: readonly string[]): Promise<readonly Served[]> {
  const deployment = await deployEmbedded({}, "offline");
  const client = createClient({ baseUrl: deployment.url, apiKey: deployment.apiKey });
  try {
    const served: Served[] = [];
    for (const goal of goals) served.push(await serveOne(client, goal));
    return served;
  } finally {
    await deployment.stop();
  }
}

async function serveOne(client: Client, text: string): Promise<Served> {
  const { files } = await collectAttachments(["vector-search"], { cwd: fileURLToPath(examples) });
  const { id } = await client.goals.create({ text, attachments: [...files] });
  for await (const _ of client.goals.watch(id)); // ends with the goal
  const goal = await client.goals.get(id);
  if (goal.status !== "succeeded") throw new Error(`“${text}” ended as ${goal.status}`);
  const counts = { tool: 0, model: 0 };
  for await (const step of client.goals.steps(id)) counts[step.kind] += 1;
  const answer = findCitations(goal.final_answer ?? "");
  const report = new TextDecoder().decode(await client.goals.artifact(id, "report.md"));
  return {
    toolCalls: counts.tool,
    modelCalls: counts.model,
    answered: new Set(answer.map(({ path, line }) => `${path}:${line}`)),
    brokenCitations: [...answer, ...findCitations(report)].filter(
      (citation) => !citationHolds(citation, linesOf(citation.path)),
    ).length,
  };
}

function linesOf(path: string): readonly string[] | undefined {
  try {
    return readFileSync(new URL(path, corpus), "utf8").split(/\r?\n/);
  } catch {
    return undefined; // no such file: the citation does not hold
  }
}
