import { expect, test } from "vitest";
import { outputSpecs, planSchema } from "../../domain/plan.ts";
import { section } from "../../domain/section.ts";
import type { ModelRequest } from "../../domain/model.ts";
import { plan } from "./plan.ts";
import { renderResult } from "./result.ts";

interface Told {
  readonly id: string;
  readonly status: string;
  readonly text: string;
  readonly needs?: string;
  readonly result?: string;
  readonly isCutOff?: boolean;
}
const allTools = ["search_files", "read_file", "write_note", "write_file", "list_files"];

function planned(
  paths: readonly string[],
  tasks: readonly Told[] = [],
  { goal = "How many kettles are watched?", tools = allTools, count = paths.length } = {},
) {
  const parts = [
    section("goal", { id: "g_1", at: "2026-11-21" }, goal),
    section("workspace", { files: count, bytes: 1 }, paths.map((path) => `${path}\t10`).join("\n")),
    section("tools", {}, tools.map((name) => `${name}: …`).join("\n")),
    ...tasks.map(({ id, status, text, needs = "", result, isCutOff = false }) =>
      section(
        "task",
        { id, status, attempt: 1, depends_on: needs, parent: "", ...(isCutOff && { cut_off: "true" }) },
        result ? `${text}\n\nResult:\n${result}` : text,
      ),
    ),
    section("request", { round: tasks.length > 0 ? 2 : 1 }, "…"),
  ];
  const request: ModelRequest = {
    stage: "plan",
    system: "",
    messages: [{ role: "user", parts }],
    tools: [],
    output: outputSpecs.plan,
    maxOutputTokens: 100,
  };
  return planSchema.parse(plan(request));
}

const found = renderResult({
  scope: "guides",
  facets: [
    {
      question: "How many kettles are watched?",
      isFound: true,
      findings: [{ citations: 'a.md:1 "eight kettles"', match: 0.9, words: [] }],
      unknownWords: [],
    },
  ],
});
const research = { id: "t1", status: "done", text: "Find.\nQuestion: How many?", result: found };
const report = {
  id: "t2",
  text: "Write `report.md`: the answer first, then the findings, every claim cited.",
  needs: "t1",
};

test("files of one kind are one task of research and the report after it", () => {
  const { tasks } = planned(["README.md", "docs/a.md"]);
  expect(tasks.map((task) => task.depends_on)).toEqual([[], ["t1"]]);
  expect(tasks[0]).toMatchObject({ tools: ["search_files", "read_file", "write_note"], evidence: [{ note: "" }] });
  expect(tasks[1]).toMatchObject({ tools: ["write_file"], evidence: [{ artifact: "report.md" }] });
});

test("files of several kinds are looked through apart", () => {
  const { tasks } = planned(["README.md", "CHANGELOG.md", "src/a.ts"]);
  expect(tasks.map((task) => task.text.split("\n")[1] ?? "")).toEqual([
    "Look in: guides",
    "Look in: change histories",
    "Look in: code and data",
    "",
  ]);
});

test("folders on a subject each are a task each, at most six, below the folder they share", () => {
  const scopes = (names: string[]) =>
    planned(names.map((name) => `all/${name}/README.md`))
      .tasks.slice(0, -1)
      .map((task) => task.text.split("\n")[1]);
  expect(scopes(["alpha", "beta"])).toEqual(["Look in: `all/alpha/`", "Look in: `all/beta/`"]);
  expect(scopes(["a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1"])).toHaveLength(6);
});

test("a question that names one of the subjects is looked up there", () => {
  const { tasks } = planned(["alpha/README.md", "beta/README.md"], [], { goal: "How many threads does beta start?" });
  expect(tasks.map((task) => task.text.split("\n")[1] ?? "")).toEqual(["Look in: `beta/`", ""]);
});

test("while a task is under way nothing is planned", () => {
  for (const status of ["pending", "ready", "running", "waiting", "reflecting"])
    expect(
      planned(
        ["a.md"],
        [
          { ...research, status },
          { ...report, status: "pending" },
        ],
      ),
    ).toEqual({ tasks: [], done: false, final_answer: "" });
});

test("a written report is the end, and its result the answer", () => {
  expect(planned(["a.md"], [research, { ...report, status: "done", result: "Eight." }])).toMatchObject({
    done: true,
    final_answer: "Eight.",
  });
});

test("where a search failed, the report is planned again from those that did not", () => {
  const { tasks } = planned(
    ["a.md"],
    [
      research,
      { id: "t3", status: "failed", text: "Find.\nQuestion: x" },
      { ...report, status: "pending", needs: "t1 t3" },
    ],
  );
  expect(tasks).toHaveLength(1);
  expect(tasks[0]).toMatchObject({ id: "t4", depends_on: ["t1"] });
});

test("where the report failed twice, the answer is given without it", () => {
  const lost = { ...report, status: "abandoned" };
  const { done, final_answer } = planned(["a.md"], [research, lost, { ...lost, id: "t3" }]);
  expect(done).toBe(true);
  expect(final_answer).toContain('a.md:1 "eight kettles"');
});

test("what a budget cut off is planned anew when there is more, and then the report of all", () => {
  const cutOff = { id: "t3", status: "cancelled", text: "Find more.\nQuestion: How many?", isCutOff: true };
  const cutReport = { ...report, id: "t4", status: "cancelled", needs: "t1 t3", isCutOff: true };
  const again = planned(["a.md"], [research, cutOff, cutReport]);
  expect(again).toMatchObject({ done: false, tasks: [{ id: "t5", text: cutOff.text, depends_on: [] }] });
  const redone = { id: "t5", status: "done", text: cutOff.text, result: found };
  const next = planned(["a.md"], [research, cutOff, cutReport, redone]);
  expect(next.tasks).toMatchObject([{ id: "t6", depends_on: ["t1", "t5"] }]);
});

test("where nothing came of any search, it says so and plans nothing", () => {
  const { tasks, done, final_answer } = planned(["a.md"], [{ ...research, status: "failed", result: "" }]);
  expect({ tasks, done }).toEqual({ tasks: [], done: false });
  expect(final_answer).toContain("No task of research came to a result");
});

test("without documents, or without the tool to search them, a goal is unsupported", () => {
  expect(planned([]).final_answer).toMatch(/^unsupported: No documents are attached/);
  expect(planned(["a.md"], [], { tools: ["read_file"] }).final_answer).toMatch(/^unsupported: The tool search_files/);
});

test.each([
  "Send a mail to Bob",
  "Please deploy the service",
  "buy 3 tickets",
  "Can you delete the old branch?",
  "Run the tests",
  "Summarize these documents",
  "Summarise the limits",
  "Could you please summarise the guide?",
  "Write me a poem about the sea",
  "Write tests",
  "Draft a reply to Bob",
  "Rewrite the introduction",
  "Translate README.md to German",
  "Plan a trip to Rome",
  "Design a logo",
  "Code a parser in Go",
  "Generate release notes",
  "Improve the wording",
  "Fix this bug",
  "Explain the cache in your own words",
  "Help me write a letter",
  "A poem about the sea",
  "Give me a short summary of the docs",
  "Here are my notes. Summarize them.",
  "Read the guide and summarize it",
])("%j is unsupported", (goal) => {
  expect(planned(["a.md"], [], { goal }).final_answer).toMatch(/^unsupported: .*cannot/);
});

test.each([
  "How do I send a mail?",
  "Which command deploys it?",
  "Does it buy time?",
  "List the release dates",
  "Release date of 2.0?",
  "Run time limits",
  "List where the limits are said",
  "Find what is said of timeouts",
  "Look up the port",
  "Compare alpha and beta",
  "Explain how the cache works",
  "Tell me where the socket is",
  "Give me the default port",
  "Plan limits",
  "Design goals of the daemon",
  "Write timeout",
  "Which engine suits? Write a report.",
  "Create table syntax",
])("%j is not", (goal) => {
  expect(planned(["a.md"], [], { goal }).tasks.length).toBeGreaterThan(0);
});

test("a goal beyond it hears what would help: with documents at hand, not to attach some", () => {
  const { done, tasks, final_answer } = planned(["a.md"], [], { goal: "Summarize these documents" });
  expect({ done, tasks }).toEqual({ done: false, tasks: [] });
  expect(final_answer).toMatch(/finds the lines .* cannot summarize anything\. Set OPENAI_API_KEY/);
  expect(final_answer).not.toContain("--attach");
  expect(planned([]).final_answer).toContain("--attach");
});

test("an attached report.md is not overwritten", () => {
  expect(planned(["report.md", "a.md"]).tasks.at(-1)!.evidence).toEqual([{ artifact: "research-report.md" }]);
});
