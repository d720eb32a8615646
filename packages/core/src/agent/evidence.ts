/**
 * Evidence, checked by program before any model is asked (DESIGN §6): what must be in the journal or the workspace for a
 * task to be done. Pure: the worker looks the facts up.
 */
import { citationHolds, findCitations } from "../domain/citation.ts";
import type { Evidence } from "../domain/plan.ts";
import type { Task } from "../domain/task.ts";
import type { ToolEffect } from "../domain/tool.ts";

export interface EvidenceFacts {
  /** Tools that were called with success in this attempt. */
  readonly succeeded: ReadonlySet<string>;
  readonly effectOf: (tool: string) => ToolEffect | undefined;
  /** Notes written by this task. */
  readonly notes: readonly string[];
  /** A text file's lines; undefined where there is no such file. */
  readonly lines: (path: string) => readonly string[] | undefined;
}

export interface EvidenceLine {
  readonly met: boolean;
  readonly text: string;
}

export interface EvidenceCheck {
  readonly met: boolean;
  readonly lines: readonly EvidenceLine[];
}

/** Files whose text the check needs: what the contract and the citations name. */
export function evidencePaths(task: Pick<Task, "evidence">, result: string): string[] {
  const paths = new Set(findCitations(result).map((citation) => citation.path));
  for (const item of task.evidence) if ("artifact" in item) paths.add(item.artifact);
  return [...paths];
}

export function checkEvidence(
  task: Pick<Task, "evidence" | "tools">,
  result: string,
  facts: EvidenceFacts,
): EvidenceCheck {
  const lines: EvidenceLine[] = contractOf(task, facts).map((item) => checkItem(item, facts));
  // Cited words that do not stand where the citation says are a false claim, whatever the contract asks.
  for (const citation of findCitations(result)) {
    const file = facts.lines(citation.path);
    if (!citationHolds(citation, file)) {
      const why = file === undefined ? "there is no such file" : "those words do not stand there";
      lines.push({ met: false, text: `citation ${citation.path}:${citation.line} "${citation.quote}": ${why}` });
    }
  }
  return { met: lines.every((line) => line.met), lines };
}

/** Without a contract, every tool that was offered and changes something must have succeeded. */
function contractOf(task: Pick<Task, "evidence" | "tools">, facts: EvidenceFacts): readonly Evidence[] {
  if (task.evidence.length > 0) return task.evidence;
  return task.tools.filter((tool) => (facts.effectOf(tool) ?? "pure") !== "pure").map((tool) => ({ tool }));
}

function checkItem(item: Evidence, facts: EvidenceFacts): EvidenceLine {
  if ("tool" in item) return { met: facts.succeeded.has(item.tool), text: `tool ${item.tool} was called with success` };
  if ("note" in item) {
    const wanted = item.note.trim().toLowerCase();
    const any = wanted === "" || wanted === "true";
    const met = facts.notes.some((note) => any || note.toLowerCase().includes(wanted));
    return { met, text: any ? "a note was written" : `a note was written that mentions "${item.note}"` };
  }
  const file = facts.lines(item.artifact);
  if (item.contains === undefined) return { met: file !== undefined, text: `the file ${item.artifact} exists` };
  const met = file?.join("\n").toLowerCase().includes(item.contains.toLowerCase()) ?? false;
  return { met, text: `the file ${item.artifact} holds "${item.contains}"` };
}
