import { expect, test } from "vitest";
import { checkEvidence, type EvidenceFacts } from "./evidence.ts";

const facts = (over: Partial<EvidenceFacts> = {}): EvidenceFacts => ({
  succeeded: new Set(),
  effectOf: (tool) => (tool === "write_file" ? "stored" : "pure"),
  notes: [],
  lines: () => undefined,
  ...over,
});

test("a claim to have written a file does not hold without the file", () => {
  const task = { tools: ["write_file"], evidence: [{ artifact: "report.md" }] };
  expect(checkEvidence(task, "I have written report.md.", facts()).met).toBe(false);
  expect(
    checkEvidence(
      task,
      "I have written report.md.",
      facts({ lines: (path) => (path === "report.md" ? ["x"] : undefined) }),
    ).met,
  ).toBe(true);
});

test("without a contract every tool that changes something and was offered must have succeeded", () => {
  const task = { tools: ["write_file", "read_file"], evidence: [] };
  expect(checkEvidence(task, "done", facts({ succeeded: new Set(["read_file"]) }))).toMatchObject({
    met: false,
    lines: [{ text: "tool write_file was called with success" }],
  });
  expect(checkEvidence(task, "done", facts({ succeeded: new Set(["write_file"]) })).met).toBe(true);
});

test("what a file must hold and what a note must mention is looked for", () => {
  const lines = (path: string) => (path === "r.md" ? ["The Budget is 3"] : undefined);
  expect(
    checkEvidence({ tools: [], evidence: [{ artifact: "r.md", contains: "budget" }] }, "", facts({ lines })).met,
  ).toBe(true);
  expect(
    checkEvidence({ tools: [], evidence: [{ artifact: "r.md", contains: "profit" }] }, "", facts({ lines })).met,
  ).toBe(false);
  expect(checkEvidence({ tools: [], evidence: [{ note: "" }] }, "", facts({ notes: ["x"] })).met).toBe(true);
  expect(checkEvidence({ tools: [], evidence: [{ note: "price" }] }, "", facts({ notes: ["x"] })).met).toBe(false);
});

test("a quotation that does not stand where it says is false evidence, whatever the contract asks", () => {
  const lines = (path: string) => (path === "a.md" ? ["one", "two words"] : undefined);
  expect(checkEvidence({ tools: [], evidence: [] }, `so a.md:2 "two words"`, facts({ lines })).met).toBe(true);
  expect(checkEvidence({ tools: [], evidence: [] }, `so a.md:1 "two words"`, facts({ lines }))).toMatchObject({
    met: false,
    lines: [{ text: expect.stringContaining("do not stand there") as string }],
  });
  expect(checkEvidence({ tools: [], evidence: [] }, `so b.md:1 "x"`, facts({ lines }))).toMatchObject({
    met: false,
    lines: [{ text: expect.stringContaining("no such file") as string }],
  });
});
