/** The run that the article shows: six tasks, one of them sent back for its numbers, one split in two, and an answer. */
import type { Scene } from "../support/house.ts";
import {
  answer,
  call,
  callsThen,
  fooled,
  judge,
  modelOf,
  plainIntake,
  plansOnce,
  say,
  type Answer,
  type PlannedTask,
} from "./model.ts";

export const goalText =
  "Research the top three SQLite vector extensions for under 100K embeddings, and recommend one for a single-binary Go service.";

export const finalAnswer =
  "Use sqlite-vec. Pure C, MIT, no separate shared library, k-NN sufficient for 100K vectors at 1536 dims, benchmarks around 40ms P99. Both alternatives have heavier deployment stories that defeat the single-binary goal.";

const web = ["web_search", "web_fetch"];
const tasks: readonly PlannedTask[] = [
  { id: "t1", text: "search sqlite vector extensions", tools: web },
  { id: "t2", text: "list candidates", depends_on: ["t1"], tools: web },
  { id: "t3", text: "evaluate sqlite-vec", depends_on: ["t2"], tools: web },
  { id: "t4", text: "evaluate sqlite-vss", depends_on: ["t2"], tools: web },
  { id: "t5", text: "evaluate libsql vector", depends_on: ["t2"], tools: web },
  { id: "t6", text: "compare and recommend", depends_on: ["t3", "t4", "t5"] },
];

const work: Readonly<Record<string, Answer>> = {
  t1: callsThen([["web_search", { q: "sqlite vector extensions 2026" }]], () =>
    say("Three primary candidates: sqlite-vec, sqlite-vss, libsql vector"),
  ),
  t2: () => say("sqlite-vec, sqlite-vss and libsql vector, as found before"),
  t3: callsThen(
    [
      ["web_fetch", { url: "https://github.com/asg017/sqlite-vec" }],
      ["web_fetch", { url: "https://alexgarcia.xyz/sqlite-vec/" }],
    ],
    () => say("sqlite-vec: pure C, no deps, k-NN, MIT, about 40 ms P99 at 100K"),
  ),
  t4: (view) => {
    if (view.hint === "") return say("sqlite-vss: faiss-backed, larger dep, requires runtime extension");
    return view.results.length === 0
      ? call("web_search", { q: "sqlite-vss benchmark p99" })
      : view.results.length === 1
        ? call("web_fetch", { url: "https://github.com/asg017/sqlite-vss" })
        : say("sqlite-vss: faiss-backed, ~3MB shared lib, P99 250ms at 100K");
  },
  t5: () => say("libsql has vectors of its own; how mature they are and how Go binds to them are two questions"),
  t5a: callsThen([["web_fetch", { url: "https://docs.turso.tech/features/ai-and-embeddings" }]], () =>
    say("libsql vector: stable since 0.24, part of a fork of SQLite"),
  ),
  t5b: callsThen([["web_fetch", { url: "https://github.com/tursodatabase/go-libsql" }]], () =>
    say("go-libsql: needs cgo and prebuilt libraries"),
  ),
  t6: () => say("sqlite-vec is the only one that fits into a single binary"),
};

export const hint = "no version or benchmark numbers";
export const parts = ["check libsql vector status", "check libsql Go binding"] as const;

export const article: Scene = {
  tag: "article",
  goal: goalText,
  model: modelOf({
    intake: (view) => {
      const plain = plainIntake(view) as { readonly json: object };
      return answer({
        ...plain.json,
        intent: "choose a vector extension",
        entities: [{ type: "software", value: "SQLite" }],
        constraints: ["under 100K embeddings", "single-binary Go service"],
        deliverable: "a recommendation",
      });
    },
    plan: plansOnce(tasks, finalAnswer),
    execute: (view) => work[view.task.key]?.(view) ?? say("unexpected"),
    verdict: (view) => {
      if (view.task.key === "t2") return judge("done", "already covered by previous task");
      if (view.task.key === "t4" && view.task.attempt === 1) return judge("retry", hint);
      if (view.task.key === "t5") return judge("split", "two questions", parts);
      return fooled(view);
    },
  }),
};
