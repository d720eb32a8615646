import { expect, test } from "vitest";
import type { TaskId } from "../domain/ids.ts";
import type { Intake } from "../domain/intake.ts";
import { checkEvidence, checkGoal, isShownByEvidence, noResult, unmetText, type EvidenceFacts } from "./evidence.ts";
import { plainIntake } from "./intake.ts";

const me = "t_me" as TaskId;
const facts = (over: Partial<EvidenceFacts> = {}): EvidenceFacts => ({
  succeeded: new Set(),
  effectOf: (tool) => (tool === "read_file" ? "pure" : tool === "send_mail" ? "external" : "stored"),
  makesFiles: (tool) => tool === "write_file" || tool === "append_to_file",
  notes: [],
  wroteFile: false,
  lines: () => undefined,
  writersOf: () => [],
  reachedOut: new Set(),
  ...over,
});
const files = (held: Readonly<Record<string, string>>, writers: Readonly<Record<string, readonly string[]>> = {}) => ({
  lines: (path: string) => held[path]?.split("\n"),
  writersOf: (path: string) => writers[path] ?? [],
});
const task = (over: Partial<Parameters<typeof checkEvidence>[0]> = {}) => ({
  id: me,
  text: "Do it.",
  tools: [] as string[],
  evidence: [],
  ...over,
});
const unmet = (...[given, result, known]: Parameters<typeof checkEvidence>) =>
  unmetText(checkEvidence(given, result, known));

test("a claim to have written a file does not hold without the file", () => {
  const given = task({ tools: ["write_file"], evidence: [{ artifact: "report.md" }] });
  expect(unmet(given, "I have written report.md.", facts())).toContain("the file report.md exists");
  const written = files({ "report.md": "x" }, { "report.md": [me] });
  expect(checkEvidence(given, "I have written report.md.", facts(written)).met).toBe(true);
});

test("a file that was only attached is no evidence of having written it", () => {
  const given = task({ tools: ["write_file"], evidence: [{ artifact: "report.md", contains: "x" }] });
  expect(unmet(given, "Done.", facts(files({ "report.md": "x" })))).toContain("as it was attached");
  const reads = task({ text: "Read report.md.", tools: ["read_file"], evidence: [{ artifact: "report.md" }] });
  expect(checkEvidence(reads, "Read.", facts(files({ "report.md": "x" }))).met).toBe(true);
});

test("an empty file is no evidence", () => {
  const given = task({ evidence: [{ artifact: "a.md" }] });
  expect(unmet(given, "Done.", facts(files({ "a.md": " \n" }, { "a.md": [me] })))).toContain("it is empty");
});

test("what the task's own words ask for must be there, whatever its planner forgot", () => {
  const given = task({
    text: "Append the findings to report.md.",
    tools: ["append_to_file"],
    evidence: [{ note: "" }],
  });
  const known = (writers: readonly string[]) =>
    facts({ ...files({ "report.md": "x" }, { "report.md": writers }), notes: ["n"] });
  expect(unmet(given, "Appended.", known(["t_other"]))).toContain("was written by a call of this task");
  expect(checkEvidence(given, "Appended.", known([me])).met).toBe(true);
});

test("a named file that is not there is made, or its absence is said", () => {
  const given = task({ text: "Prüfe bericht.md.", tools: ["write_file"], evidence: [{ note: "" }] });
  expect(unmet(given, "Alles gut.", facts({ notes: ["n"] }))).toContain("bericht.md");
  expect(checkEvidence(given, "Es gibt keine bericht.md.", facts({ notes: ["n"] })).met).toBe(true);
});

test("what the words ask for needs a call that did it, a name or not", () => {
  expect(unmet(task({ text: "Keep a note of what apples cost." }), "Noted.", facts())).toContain("a note was written");
  expect(unmet(task({ text: "Write the list to a file." }), "It is saved.", facts())).toContain("a file was written");
  const mail = task({ text: "Send a mail to ann@example.org." });
  expect(unmet(mail, "Erledigt.", facts())).toContain("a message was sent by a tool");
  expect(checkEvidence(mail, "Erledigt.", facts({ succeeded: new Set(["send_mail"]) })).met).toBe(true);
});

test("what an earlier attempt stored is evidence in this one", () => {
  const given = task({ tools: ["read_file", "write_file"] });
  expect(checkEvidence(given, "It has three lines.", facts({ wroteFile: true })).met).toBe(true);
});

test("a claim that something was sent needs a call that reached out", () => {
  const given = task({ tools: ["read_file"] });
  expect(unmet(given, "I have sent the mail to Ann.", facts())).toContain("no call did this");
  expect(checkEvidence(given, "I have sent the mail to Ann.", facts({ reachedOut: new Set(["send_mail"]) })).met).toBe(
    true,
  );
});

test("what others did to their own files is no claim", () => {
  const given = task({ tools: ["read_file", "write_note"], evidence: [{ note: "" }] });
  const result =
    "Cargo.toml was updated upstream; sqlite-vec ships vec0.so. There is no foo.txt. It would be saved to x.md.";
  expect(checkEvidence(given, result, facts({ notes: ["n"] })).met).toBe(true);
});

test("without a contract every tool that changes something and was offered must have succeeded", () => {
  const given = task({ tools: ["write_file", "read_file"] });
  expect(unmet(given, "done", facts({ succeeded: new Set(["read_file"]) }))).toBe(
    "tool write_file was called with success",
  );
  expect(checkEvidence(given, "done", facts({ succeeded: new Set(["write_file"]) })).met).toBe(true);
});

test("what reached out in an earlier attempt is evidence in this one", () => {
  const given = task({ evidence: [{ tool: "send_mail" }] });
  expect(checkEvidence(given, "Done.", facts({ reachedOut: new Set(["send_mail"]) })).met).toBe(true);
});

test("what a file must hold and what a note must mention is looked for", () => {
  const known = facts(files({ "r.md": "The Budget is 3" }, { "r.md": [me] }));
  const holds = (contains: string) => checkEvidence(task({ evidence: [{ artifact: "r.md", contains }] }), "ok", known);
  expect(holds("budget").met).toBe(true);
  expect(holds("profit").met).toBe(false);
  const noted = (note: string) => checkEvidence(task({ evidence: [{ note }] }), "ok", facts({ notes: ["x"] }));
  expect(noted("").met).toBe(true);
  expect(noted("price").met).toBe(false);
});

test("an attempt without a result is never done", () => {
  expect(checkEvidence(task(), noResult("stuck"), facts())).toMatchObject({ met: false });
  expect(checkEvidence(task(), "  ", facts())).toMatchObject({ met: false });
});

test("a quotation that does not stand where it says is false evidence, whatever the contract asks", () => {
  const known = facts(files({ "a.md": "one\ntwo words" }));
  expect(checkEvidence(task(), `so a.md:2 "two words"`, known).met).toBe(true);
  expect(unmet(task(), `so a.md:1 "two words"`, known)).toContain("do not stand there");
  expect(unmet(task(), `so b.md:1 "x"`, known)).toContain("no such file");
});

test("only an easy task whose evidence names words is shown by it alone", () => {
  const easy = { difficulty: "easy", attempt: 1 };
  expect(isShownByEvidence({ ...easy, evidence: [{ artifact: "a.md", contains: "x" }] }, true)).toBe(true);
  expect(isShownByEvidence({ ...easy, evidence: [{ artifact: "a.md", contains: "x" }] }, false)).toBe(false);
  expect(isShownByEvidence({ ...easy, evidence: [{ note: "price" }] }, false)).toBe(true);
  expect(isShownByEvidence({ ...easy, evidence: [{ artifact: "a.md" }] }, true)).toBe(false);
  expect(isShownByEvidence({ ...easy, evidence: [{ tool: "read_file" }] }, true)).toBe(false);
  expect(isShownByEvidence({ ...easy, evidence: [] }, true)).toBe(false);
  expect(isShownByEvidence({ ...easy, attempt: 2, evidence: [{ note: "price" }] }, true)).toBe(false);
  expect(isShownByEvidence({ ...easy, difficulty: "normal", evidence: [{ note: "price" }] }, true)).toBe(false);
});

const goal = (text: string, over: Partial<Intake> = {}) => ({ text, intake: { ...plainIntake({ text }), ...over } });
const known = (over: Parameters<typeof checkGoal>[2] | object = {}) => ({
  ...facts(),
  ...over,
});

test("a goal that asks for a file is not reached without it", () => {
  const asked = goal("Compare the engines and write report.md.");
  expect(unmetText(checkGoal(asked, "Done!", known()))).toContain("report.md");
  const written = known(files({ "report.md": "x" }, { "report.md": ["t_1"] }));
  expect(checkGoal(asked, "Done, see report.md.", written).met).toBe(true);
});

test("what intake says must hold is held: a tool, citations, a note, a file", () => {
  const need = (evidence: Intake["evidence"], answer = "ok", over = {}) =>
    checkGoal(goal("Do it", { evidence }), answer, known(over)).met;
  expect(need([{ tool: "send_mail" }])).toBe(false);
  expect(need([{ tool: "send_mail" }], "ok", { reachedOut: new Set(["send_mail"]) })).toBe(true);
  expect(need([{ citations: 1 }])).toBe(false);
  expect(need([{ citations: 1 }], `so a.md:1 "one"`, files({ "a.md": "one" }))).toBe(true);
  expect(need([{ note: "x" }])).toBe(false);
  // It may be what the goal is about.
  expect(need([{ artifact: "a.md" }], "ok", files({ "a.md": "one" }))).toBe(true);
  expect(need([{ artifact: "a.md" }])).toBe(false);
});

test("what a task that came to nothing was to write is not forgotten", () => {
  const asked = goal("Keep a log of fruit");
  const ended = (text: string, outcome: "done" | "nothing", key = "t1") => ({ key, text, outcome });
  const vain = ended("Append a line on pears to log.md", "nothing");
  expect(unmetText(checkGoal(asked, "The log is kept.", known(), [vain]))).toContain("what t1 was to write to log.md");
  expect(checkGoal(asked, "The line on pears is missing from log.md.", known(), [vain]).met).toBe(true);
  const again = ended("Append a line on pears to log.md", "done", "t2");
  expect(checkGoal(asked, "The log is kept.", known(), [vain, again]).met).toBe(true);
});

test("a final answer that claims what nobody did is not taken", () => {
  expect(checkGoal(goal("Help Ann"), "I have sent an email to Ann.", known()).met).toBe(false);
  expect(checkGoal(goal("Help Ann"), "The summary was saved to out.md.", known()).met).toBe(false);
  expect(checkGoal(goal("Help Ann"), "There is no mail tool, so nothing was sent.", known()).met).toBe(true);
});
