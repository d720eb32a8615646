/** The end of a run on the screen: answer, figures, saved files, and where to look further. */
import { join } from "node:path";
import type { Client } from "@outerloop/client";
import { messageOf, type GoalResource } from "@outerloop/core/domain";
import { exitCodes } from "./exit.ts";
import { proseWidth, type Output } from "./live/progress.ts";
import { saveWrittenFiles, shownPath } from "./save-files.ts";
import { printableJson, printableLine } from "./text/printable.ts";
import type { Style } from "./text/style.ts";
import { answerLines, outcomeLine, pointerLines, reasonLines } from "./view/ending-lines.ts";

export interface EndSettings {
  readonly client: Client;
  readonly out: Output;
  readonly style: Style;
  readonly isJson: boolean;
  /** Files go to `goals/ID` below it. */
  readonly dataDir: string;
  /** Where the user stands. */
  readonly cwd: string;
  /** Lines that the caller wants last. */
  readonly footer?: readonly string[];
}

/** @returns the exit code */
export async function endGoal(
  settings: EndSettings,
  goal: GoalResource,
  shortId: string,
  models: readonly string[],
): Promise<number> {
  const { client, out, style, isJson, cwd } = settings;
  const trouble: string[] = [];
  // A full disk is no reason to hide the answer.
  const { saved, failed } = await saveWrittenFiles(client, goal.id, join(settings.dataDir, "goals", shortId)).catch(
    (thrown: unknown) => {
      trouble.push(
        `Its files could not be saved: ${printableLine(messageOf(thrown))}. npx outerloop files ${shortId} lists them.`,
      );
      return { saved: [], failed: [] };
    },
  );
  for (const file of failed) trouble.push(`Not saved: ${printableLine(file.path)} (${printableLine(file.why)})`);
  const paths = saved.map((file) => shownPath(file.savedAt, cwd));
  const width = proseWidth(out);
  const lines = isJson
    ? [printableJson({ goal, files: saved.map((file) => ({ path: file.path, saved_at: file.savedAt })) })]
    : [
        ...answerLines(goal, width, style),
        outcomeLine(goal, style),
        ...reasonLines({ goal, shortId, models }, width),
        ...trouble,
        ...pointerLines(shortId, paths, settings.footer ?? []),
      ];
  for (const line of lines) out.write(`${line}\n`);
  return goal.status === "succeeded" ? exitCodes.success : exitCodes.goalFailed;
}
