/** Journal entries in one line each: number, what was called with what, how it went, how long it took. */
import type { StepResource } from "@outerloop/core/domain";
import { z } from "zod";
import { formatDuration, plural } from "../text/quantities.ts";
import { printableJson, printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { countedNames } from "./task-words.ts";
import { padEnd, truncate, widthOf } from "../text/width.ts";

/** A tool's answer in the journal. */
const toolOutputSchema = z.object({ text: z.string() });
/** A model's answer in the journal. */
export const modelOutputSchema = z.object({
  message: z.object({ text: z.string(), toolCalls: z.array(z.object({ name: z.string(), args: z.unknown() })) }),
  stop: z.string().optional(),
});

const outcomeWidth = 6;
const timeWidth = 9;

export function stepLines(steps: readonly StepResource[], width: number, indent: string, style: Style): string[] {
  const numberWidth = Math.max(0, ...steps.map((step) => String(step.number).length)) + 1;
  return steps.flatMap((step) => {
    const room = Math.max(20, width - widthOf(indent) - numberWidth - outcomeWidth - timeWidth - 4);
    const outcome = step.ok ? "ok" : "error";
    const line = [
      indent + style.faint(`.${step.number}`.padEnd(numberWidth)),
      padEnd(truncate(stepWords(step), room), room),
      (step.ok ? style.faint : style.bad)((step.phase === "intent" ? "begun" : outcome).padEnd(outcomeWidth)),
      style.faint(formatDuration(step.duration_ms).padStart(timeWidth)),
    ].join(" ");
    return step.ok
      ? [line]
      : [
          line,
          style.bad(truncate(`${indent}${" ".repeat(numberWidth + 1)}${printableLine(toolText(step.output))}`, width)),
        ];
  });
}

/** `search_files {"query":"…"}`, or which model was asked and what it wants. */
function stepWords(step: StepResource): string {
  if (step.kind === "tool") return `${printableLine(step.name)} ${printableLine(printableJson(step.input ?? {}))}`;
  const read = modelOutputSchema.safeParse(step.output);
  const calls = read.success ? countedNames(read.data.message.toolCalls.map((call) => call.name)) : "";
  const tokens = step.usage.input_tokens + step.usage.output_tokens;
  return `${step.stage === "execute" ? "model" : printableLine(step.stage)} ${printableLine(step.name)}, ${plural(tokens, "token")}${calls === "" ? "" : ` → ${calls}`}`;
}

export function toolText(output: unknown): string {
  const read = toolOutputSchema.safeParse(output);
  return read.success ? read.data.text : printableJson(output ?? null);
}
