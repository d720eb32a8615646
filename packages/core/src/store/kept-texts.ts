/**
 * Long texts of steps, kept once by hash (W4): what a model wrote into a file stands in its answer, in the call and maybe in
 * the result, and again in a later attempt. The step's output names where they belong; reading puts them back.
 */
import type { Db, Trx } from "./database.ts";
import { loadTexts } from "./blobs.ts";
import type { StepRow, Write } from "./commit.ts";
import { sha256 } from "./ids.ts";
import type { StepRecord } from "./rows.ts";

/** Characters; from here on a reference is much shorter than its text. */
export const inlineChars = 8192;

type Path = readonly (string | number)[];

/** One text that was taken out: of `output` or `input`, at this path in it. */
interface KeptText {
  readonly at: Path;
  readonly hash: string;
  readonly chars: number;
}

/** The write with the long texts of its steps among its blobs. */
export function keepTexts(write: Write): Write {
  if (write.steps === undefined) return write;
  const bodies = new Map<string, string>();
  const steps = write.steps.map((step) => keepTextsOf(step, bodies));
  if (bodies.size === 0) return write;
  return { ...write, steps, blobs: [...(write.blobs ?? []), ...[...bodies].map(([hash, body]) => ({ hash, body }))] };
}

function keepTextsOf(step: StepRow, bodies: Map<string, string>): StepRow {
  // An intent has no output to name them in, and what it holds comes again with its result.
  if (step.output === null || typeof step.output !== "object" || Array.isArray(step.output)) return step;
  const kept: KeptText[] = [];
  const take = (value: unknown, at: Path): unknown => {
    if (typeof value === "string") {
      if (value.length <= inlineChars) return value;
      const hash = sha256(value);
      bodies.set(hash, value);
      kept.push({ at, hash, chars: value.length });
      return "";
    }
    if (Array.isArray(value)) return value.map((inner, index) => take(inner, [...at, index]));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, take(inner, [...at, key])]));
  };
  const output = take(step.output, ["output"]) as object;
  // What a model step was given is hashes already.
  const input = step.kind === "tool" ? take(step.input, ["input"]) : step.input;
  return kept.length === 0 ? step : { ...step, input, output: { ...output, kept } };
}

/** The steps as they were written. A text that was forgotten is told by its length. */
export async function restoreTexts(db: Db | Trx, rows: readonly StepRecord[]): Promise<StepRecord[]> {
  const hashes = new Set(rows.flatMap((row) => keptOf(row).map((text) => text.hash)));
  const [first] = rows;
  if (hashes.size === 0 || first === undefined) return [...rows];
  const goal = { id: first.goal_id, retention: first.retention, goal_day: first.goal_day };
  const texts = await loadTexts(db, goal, [...hashes]);
  return rows.map((row) => {
    const kept = keptOf(row);
    if (kept.length === 0) return row;
    const { kept: _, ...output } = row.output as Record<string, unknown>;
    const parts = { input: row.input, output: output as unknown };
    for (const { at, hash, chars } of kept) put(parts, at, texts.get(hash) ?? `(forgotten: ${chars} characters)`);
    return { ...row, ...parts };
  });
}

function keptOf(row: Pick<StepRecord, "output">): readonly KeptText[] {
  const output = row.output as { readonly kept?: readonly KeptText[] } | null;
  return output !== null && typeof output === "object" && Array.isArray(output.kept) ? output.kept : [];
}

function put(root: object, at: Path, text: string): void {
  let inside = root as Record<string | number, unknown>;
  for (const key of at.slice(0, -1)) inside = inside[key] as Record<string | number, unknown>;
  inside[at.at(-1)!] = text;
}
