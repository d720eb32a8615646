/**
 * A goal from the text to the answer, on a terminal or in a pipe: used by `outerloop run` and by `npm start -- GOAL`.
 *
 * Ctrl-C pauses the goal and says how to go on; a second one quits at once.
 */
import { ApiError, type Client } from "@outerloop/client";
import {
  hasGoalEnded,
  messageOf,
  type GoalResource,
  type GoalStatus,
  type NewGoalRequest,
} from "@outerloop/core/domain";
import { describeAttachments, type Attachments } from "./attachments/collect.ts";
import { endGoal } from "./end-goal.ts";
import { exitCodes } from "./exit.ts";
import { followGoal } from "./follow-goal.ts";
import { processInterrupts, type Interrupts } from "./interrupts.ts";
import { realClock } from "./live/clock.ts";
import { createJsonLog, createPlainLog } from "./live/plain-log.ts";
import type { Output, Progress } from "./live/progress.ts";
import { shortGoalId } from "./short-id.ts";
import { printableJson, printableLine } from "./text/printable.ts";
import { styleFor } from "./text/style.ts";
import { goalLine } from "./view/ending-lines.ts";

export interface RunGoalSettings {
  readonly client: Client;
  readonly text: string;
  /** `collectAttachments`, or `noAttachments`. */
  readonly attachments: Attachments;
  /** The rest of the request: session, budget, planning, labels, priority. */
  readonly options?: Omit<NewGoalRequest, "text" | "attachments">;
  /** Files that the goal writes are saved to `goals/ID` below it. */
  readonly dataDir: string;
  /** Where the user stands: paths are shown relative to it. */
  readonly cwd?: string;
  readonly out?: Output;
  /** Whether the tree is redrawn in place; by default where `out` is a terminal. */
  readonly isTty?: boolean;
  /** Events and the goal as JSON lines instead. */
  readonly isJson?: boolean;
  /** Returns as soon as the goal is accepted. */
  readonly isDetached?: boolean;
  /** The server ends with this process, so going on begins with starting it. */
  readonly endsServer?: boolean;
  /** Lines that stand last, after a goal that ended. */
  readonly footer?: readonly string[];
  readonly interrupts?: Interrupts;
  /** Stops following, without pausing: for a process that must end. */
  readonly signal?: AbortSignal;
}

export interface RunOutcome {
  readonly exitCode: number;
  /** null where it was interrupted before there was one. */
  readonly goalId: string | null;
  readonly status: GoalStatus | null;
}

/** @throws ApiError, ConnectionError: what the server refuses, or that it went away */
export async function runGoal(settings: RunGoalSettings): Promise<RunOutcome> {
  const { client, attachments, isJson = false, cwd = process.cwd(), interrupts = processInterrupts } = settings;
  const out: Output = settings.out ?? process.stdout;
  const isTty = settings.isTty ?? out.isTTY === true;
  const style = styleFor(out, isTty);
  const print = (...lines: readonly string[]) => {
    if (!isJson) for (const line of lines) out.write(`${line}\n`);
  };

  const stopped = new AbortController();
  const signal = settings.signal === undefined ? stopped.signal : AbortSignal.any([settings.signal, stopped.signal]);
  const unlisten = interrupts.listen(() =>
    stopped.signal.aborted ? interrupts.quit(exitCodes.interrupted) : stopped.abort(),
  );
  try {
    if (attachments.files.length > 0 || attachments.skipped.length > 0)
      print(`Attached ${describeAttachments(attachments)}`);
    const begun = await begin(settings, signal);
    if (begun === null) {
      print("Stopped before the goal was accepted.");
      return { exitCode: exitCodes.interrupted, goalId: null, status: null };
    }
    const { goal, shortId } = begun;
    print(goalLine(goal, shortId, client.baseUrl));
    if (settings.isDetached === true) {
      if (isJson) out.write(`${printableJson({ goal })}\n`);
      print(`Watch    npx outerloop watch ${shortId}`);
      return { exitCode: exitCodes.success, goalId: goal.id, status: goal.status };
    }

    const followed = await followGoal(client, goal.id, await createProgress(out, isTty, isJson, style), signal);
    if (followed.isInterrupted) {
      const status = stopped.signal.aborted
        ? await pause(client, goal.id, shortId, settings.endsServer ?? false, print)
        : followed.view.status;
      if (status !== "ended")
        return {
          exitCode: exitCodes.interrupted,
          goalId: goal.id,
          status: status === "unknown" ? followed.view.status : status,
        };
    }
    const ended = await client.goals.get(goal.id);
    const exitCode = await endGoal(
      { client, out, style, isJson, dataDir: settings.dataDir, cwd, footer: settings.footer ?? [] },
      ended,
      shortId,
      followed.view.models,
    );
    return { exitCode, goalId: goal.id, status: ended.status };
  } finally {
    unlisten();
  }
}

/** null where it was interrupted first. */
async function begin(
  { client, text, attachments, options }: RunGoalSettings,
  signal: AbortSignal,
): Promise<{ readonly goal: GoalResource; readonly shortId: string } | null> {
  try {
    const request: NewGoalRequest = {
      ...options,
      text,
      ...(attachments.files.length > 0 ? { attachments: attachments.files.map((file) => ({ ...file })) } : {}),
    };
    const goal = await client.goals.create(request, { signal });
    return { goal, shortId: await shortGoalId(client, goal.id) };
  } catch (thrown) {
    if (signal.aborted) return null;
    throw thrown;
  }
}

/** The tree and its library are loaded only where there is a terminal to draw on. */
export async function createProgress(
  out: Output,
  isTty: boolean,
  isJson: boolean,
  style: ReturnType<typeof styleFor>,
): Promise<Progress> {
  if (isJson) return createJsonLog(out);
  if (!isTty) return createPlainLog(out);
  const { createTreeScreen } = await import("./live/tree-screen.ts");
  return createTreeScreen({ out, style, clock: realClock });
}

/** Pauses the goal and says how to go on. `ended`: it had ended before it could be paused. */
async function pause(
  client: Client,
  id: string,
  shortId: string,
  endsServer: boolean,
  print: (...lines: string[]) => void,
): Promise<"paused" | "ended" | "unknown"> {
  const goOn = `npx outerloop resume ${shortId} && npx outerloop watch ${shortId}`;
  try {
    await client.goals.pause(id);
  } catch (thrown) {
    if (thrown instanceof ApiError && hasGoalEnded((await client.goals.get(id)).status)) return "ended";
    print(
      `It could not be paused: ${printableLine(messageOf(thrown))}`,
      `It may go on. To follow it: npx outerloop watch ${shortId}`,
    );
    return "unknown";
  }
  print(
    `Paused ${shortId}. What runs at this moment may still finish; nothing new starts.`,
    `Go on    ${endsServer ? "npm start   then: " : ""}${goOn}`,
  );
  return "paused";
}
