/**
 * The offline model on documents that nobody of its authors has seen: 12 folders, 2 questions each, and one question a
 * folder that belongs elsewhere. Chosen blind (SOURCES.md); not to be tuned against.
 */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findCitations, type Citation } from "@outerloop/core/domain";
import { collectAttachments } from "@outerloop/cli";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";

interface Question {
  readonly folder: string;
  readonly question: string;
  readonly answers: readonly { readonly path: string; readonly line: number; readonly quote: string }[];
}

const here = new URL("./", import.meta.url);
const { questions, wrong } = JSON.parse(await readFile(new URL("questions.json", here), "utf8")) as {
  questions: readonly Question[];
  wrong: readonly Omit<Question, "answers">[];
};

/** Goals under way at once: what a small machine runs beside other tests. */
const atOnce = 4;

interface Asked {
  readonly status: string;
  readonly answer: string;
  readonly citations: readonly Citation[];
  /** Citations whose words do not stand where they say. */
  readonly broken: readonly Citation[];
}

let deployment: Deployment;
beforeAll(async () => {
  deployment = await deploy({ size: "embedded" });
}, 90_000);
afterAll(async () => {
  await deployment?.stop();
  await endProcesses();
});

async function ask(folder: string, question: string): Promise<Asked> {
  const { files } = await collectAttachments([`corpora/${folder}`], { cwd: here.pathname });
  const { id } = await deployment.client.goals.create({ text: question, attachments: [...files] });
  for await (const _ of deployment.client.goals.watch(id));
  const goal = await deployment.client.goals.get(id);
  const written = (await deployment.client.goals.artifacts(id)).filter((file) => file.origin === "written");
  const report = await Promise.all(
    written.map(async (file) => new TextDecoder().decode(await deployment.client.goals.artifact(id, file.path))),
  );
  const answer = goal.final_answer ?? "";
  const citations = findCitations([answer, ...report].join("\n"));
  const broken: Citation[] = [];
  for (const citation of citations) {
    const lines = (await readFile(new URL(`corpora/${folder}/${citation.path}`, here), "utf8").catch(() => "")).split(
      "\n",
    );
    // Apart from white space, to the letter.
    const squeeze = (text: string) => text.replaceAll(/\s+/g, " ").trim();
    if (!squeeze(lines[citation.line - 1] ?? "").includes(squeeze(citation.quote))) broken.push(citation);
  }
  return { status: goal.status, answer, citations, broken };
}

async function askAll<Item extends Omit<Question, "answers">>(
  items: readonly Item[],
): Promise<readonly (Item & Asked)[]> {
  const results: (Item & Asked)[] = [];
  const left = [...items];
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let item = left.shift(); item !== undefined; item = left.shift())
        results.push({ ...item, ...(await ask(item.folder, item.question)) });
    }),
  );
  return results;
}

test("of 24 questions put to the right folder, at least 18 are answered by a citation of the line that answers, and every quotation stands at its line", async () => {
  const asked = await askAll(questions);
  const missed = asked.filter(
    (each) =>
      !each.answers.some((line) =>
        each.citations.some((citation) => citation.path === line.path && citation.line === line.line),
      ),
  );
  process.stdout.write(
    `held-out: ${asked.length - missed.length} of ${asked.length} answered by the right line, ${asked.reduce((sum, each) => sum + each.citations.length, 0)} citations\n`,
  );
  expect(asked.filter((each) => each.status !== "succeeded").map((each) => each.question)).toEqual([]);
  expect(asked.flatMap((each) => each.broken)).toEqual([]);
  expect(asked.length - missed.length).toBeGreaterThanOrEqual(18);
}, 240_000);

test("of 12 questions put to the wrong folder, all end with: not in these documents", async () => {
  const asked = await askAll(wrong);
  expect(
    asked
      .filter((each) => !/not in these documents/i.test(each.answer))
      .map((each) => `${each.folder}: ${each.question}\n${each.answer}`),
  ).toEqual([]);
  expect(asked.flatMap((each) => each.broken)).toEqual([]);
}, 240_000);
