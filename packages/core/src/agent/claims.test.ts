import { expect, test } from "vitest";
import {
  askedDeeds,
  askedFiles,
  claimedFiles,
  claimedSending,
  claimsNote,
  deniesFile,
  namedFiles,
  wantedFiles,
} from "./claims.ts";

test.each([
  ["Write the findings to report.md", ["report.md"]],
  ["Create report.md from notes.md and data.csv.", ["report.md"]],
  ["Write a summary of notes.md to summary.md", ["summary.md"]],
  ["Update the table in report.md", ["report.md"]],
  ["Add the numbers from data.csv to report.md", ["report.md"]],
  ["Summarise data.csv into out.md.", ["out.md"]],
  ["Append the section on B to out/report.md, then read it.", ["out/report.md"]],
  ["Save as `a/b.json`", ["a/b.json"]],
  ["Write report.md: one section for each of a.txt, b.txt", ["report.md"]],
  ["Write a.md and b.md", ["a.md", "b.md"]],
  ["Schreibe den Bericht nach bericht.md", ["bericht.md"]],
  ["Escribe el informe en informe.md", ["informe.md"]],
  ["Write a line to ./one.md", ["one.md"]],
  ["Write the build rules to Makefile", ["Makefile"]],
  ["Write the tables to schema.prisma", ["schema.prisma"]],
  ["Explain how it works and write it to how.md", ["how.md"]],
  ["Explain how one would write a summary to summary.md", []],
  ["Produce a report on the errors in server.log", []],
  ["Write tests for parser.ts", []],
  ["Save as report.pdf or report.html", []],
  ["Convert the prices in notes/pears.md to dollars", []],
  ["Send the report to anna@example.org", []],
  ["Write a review of the file notes.md", []],
  ["Read config.yaml and list its keys", []],
  ["Compare a.md to b.md", []],
  ["Do not write to x.md", []],
  ["Research X and write me a report", []],
  ["Write it in Node.js", []],
])("%s asks for %j", (text, files) => expect(askedFiles(text)).toEqual(files));

test.each([
  ["I have written the report to report.md.", "report.md", true],
  ["I've just saved everything as out/a.json!", "out/a.json", true],
  ["The file report.md has been created.", "report.md", false],
  ["| report.md | ✅ written |", "report.md", false],
  ['{"file":"report.md","status":"written"}', "report.md", false],
  ["Saved: report.md", "report.md", false],
  ["Ich habe den Bericht in bericht.md geschrieben.", "bericht.md", true],
  ["The rules have been written to Makefile.", "Makefile", false],
  ["He creado el archivo informe.md.", "informe.md", true],
])("%s claims %s", (text, path, byMe) => expect(claimedFiles(text)).toEqual([{ path, byMe }]));

test.each([
  "There is no foo.txt.",
  "He wrote summary.md in 2019, the file says.",
  "The build writes dist/main.js, and the installer has created config.json.",
  'notes.txt:2 "I have written summary.md to the disk"',
  "Was summary.md ever written?",
  "I wrote nothing to report.md.",
  "Cargo.toml was updated upstream.",
  "It would be saved to x.md",
  "report.md could not be written.",
  'docs/a.md:3 "was written in Go"',
  "It runs on Node.js and was written in 2020.",
])("%s claims no file", (text) => expect(claimedFiles(text)).toEqual([]));

test("what stands close behind a word that makes may be read as well", () => {
  expect(wantedFiles("Write a short report (report.md) on Node.js")).toEqual([{ path: "report.md", how: "near" }]);
  expect(wantedFiles("Make a list of every TODO in src/main.ts")).toEqual([{ path: "src/main.ts", how: "near" }]);
});

test("a denial in another clause denies nothing", () => {
  expect(claimedFiles("I wrote the findings to findings.md, there are no gaps.")).toHaveLength(1);
  expect(deniesFile("report.md holds all, no work is left.", "report.md")).toBe(false);
});

test("an unclosed quotation mark costs no time", () => {
  const long = `a 5" pipe ${"word “x ".repeat(20_000)}`;
  expect(claimedFiles(`${long}\nI have written a.md.`)).toHaveLength(1);
});

test("sending is claimed by who did it or by what was sent, not by what others do", () => {
  expect(claimedSending("I sent the email to Bob.")).toContain("I sent");
  expect(claimedSending("Done. The invitation has been sent to all.")).toContain("invitation");
  expect(claimedSending("The mail to anna@example.org has been sent.")).toContain("anna");
  expect(claimedSending("anna@example.org has been informed by e-mail.")).toContain("informed");
  expect(claimedSending("Ich habe die E-Mail an anna@example.org gesendet.")).toContain("Ich");
  expect(claimedSending("He enviado el correo a Anna.")).toContain("He enviado");
  expect(claimedSending("The letter to Babbage says that he sent it by post.")).toBeNull();
  expect(claimedSending("I could not send it.")).toBeNull();
  expect(claimedSending("Emails are sent by the server at night.")).toBeNull();
});

test.each([
  ["Write a note of what apples cost", ["note"]],
  ["Find the price and keep a note of it.", ["note"]],
  ["Write the report about apples to a file of the workspace", ["file"]],
  ["Send a mail to anna@example.org that says that pears are ripe", ["message"]],
  ["Sende die E-Mail an Anna", ["message"]],
  ["Find out how to send mail from Go", []],
  ["Write a note on apples to apples.md", []],
  ["Do not send a mail.", []],
  ["Tell me which e-mail addresses are in contacts.csv", []],
])("%s asks for %j", (text, deeds) => expect(askedDeeds(text)).toEqual(deeds));

test("what only says where to find something is a claim where it is the end of the work", () => {
  const pointed = (text: string) => claimedFiles(text, true).map(({ path }) => path);
  expect(pointed("The comparison is in comparison.md.")).toEqual(["comparison.md"]);
  expect(pointed("| Comparison | comparison.md |")).toEqual(["comparison.md"]);
  expect(pointed("comparison.md")).toEqual(["comparison.md"]);
  expect(pointed("The setting is in config.yaml; it mentions summary.md.")).toEqual([]);
  expect(claimedFiles("The comparison is in comparison.md.")).toEqual([]);
});

test("a note is claimed by who made it", () => {
  expect(claimsNote("I have made a note that apples cost 2 euros.")).toBe(true);
  expect(claimsNote("Ada wrote Note G in 1843.")).toBe(false);
});

test("what is said after 200,000 characters is not looked for", () => {
  const long = `${"word ".repeat(40_000)}\n`;
  expect(claimedFiles(`${long}I have written a.md.`)).toEqual([]);
  expect(claimedFiles(`I have written a.md.\n${long}`)).toHaveLength(1);
});

test("files are named by their ending, citations and hosts are not files", () => {
  expect(namedFiles("See a.md, src/b.ts and a.md at example.com; v1.2.md?")).toEqual(["a.md", "src/b.ts", "v1.2.md"]);
  expect(deniesFile("There is no a.md here. b.md is fine.", "a.md")).toBe(true);
  expect(deniesFile("There is no a.md here. b.md is fine.", "b.md")).toBe(false);
});
