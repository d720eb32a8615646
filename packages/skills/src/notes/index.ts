/** What a task writes down, and what was learned before. */
import { z } from "zod";
import type { Skill } from "@outerloop/core/domain";
import { defineTool } from "../tool.ts";

/** Characters of one note: a finding with its citation, not a document. */
export const maxNoteChars = 4000;
export const maxQueryChars = 1000;
/** Memories of one recall. */
export const maxRecalled = 8;

export const writeNote = defineTool({
  name: "write_note",
  version: "1",
  description: `Keep one finding for the tasks and goals that come later, with its citation.\nAt most ${maxNoteChars} characters; recall finds it again.`,
  effect: "stored",
  makes: "note",
  timeoutMs: 30_000,
  input: z.object({
    text: z
      .string()
      .trim()
      .min(1, "a note has text")
      .max(maxNoteChars, `at most ${maxNoteChars} characters; write what is longer to a file`),
  }),
  async run({ text }) {
    return { ok: true, text: "Noted.", writes: [{ kind: "note", text }] };
  },
});

export const recall = defineTool({
  name: "recall",
  version: "1",
  description: `Find notes, lessons and answers of earlier work that are about something.\nGives at most ${maxRecalled}, the most similar first.`,
  effect: "pure",
  timeoutMs: 30_000,
  input: z.object({ query: z.string().trim().min(1, "say what to look for").max(maxQueryChars) }),
  async run({ query }, context) {
    const memories = await context.recall(query, maxRecalled);
    if (memories.length === 0) return { ok: true, text: `Nothing is remembered about "${query}".` };
    return {
      ok: true,
      text: memories.map((memory) => `[${memory.kind}, ${memory.createdAt.slice(0, 10)}] ${memory.text}`).join("\n\n"),
    };
  },
});

export const notesSkill: Skill = {
  name: "notes",
  description: "Writes notes and recalls what was learned.",
  tools: [writeNote, recall],
};
