/** What a goal did and why, from its first plan to its answer: `outerloop show GOAL`. */
import type { ArtifactResource, EventResource, GoalResource, StepResource } from "@outerloop/core/domain";
import { z } from "zod";
import { formatCount, formatDuration, formatUsd, plural } from "../text/quantities.ts";
import { printableBlock, printableJson, printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { truncate, widthOf } from "../text/width.ts";
import { wrapText } from "../text/wrap.ts";
import { answerLines, outcomeLine, reasonLines } from "./ending-lines.ts";
import { fileLines } from "./file-lines.ts";
import {
  emptyGoalView,
  guardWords,
  questionWords,
  readEventData,
  seeEvent,
  shownStatus,
  subtasksOf,
  type AttemptView,
  type GoalView,
  type TaskView,
} from "./goal-view.ts";
import { paintStatus } from "./list-lines.ts";
import { stepLines } from "./step-lines.ts";
import { afterKeys, retryWords } from "./task-words.ts";

export interface Story {
  readonly goal: GoalResource;
  readonly shortId: string;
  readonly events: readonly EventResource[];
  readonly steps: readonly StepResource[];
  readonly files: readonly ArtifactResource[];
  /** Milliseconds since 1970: for how long a goal that goes on has been at it. */
  readonly now: number;
}

export function storyLines(story: Story, width: number, style: Style): string[] {
  const view = story.events.reduce(seeEvent, emptyGoalView);
  const { goal, shortId } = story;
  return [
    ...headLines(story, width, style),
    ...gap(intakeLines(story, width, style)),
    ...view.rounds.flatMap((round, index) =>
      round.taskIds.length === 0 ? [] : ["", ...roundLines(story, view, index, width, style)],
    ),
    ...lastPlanLines(story, view, width, style),
    ...gap(answerLines(goal, width, style)),
    ...gap(brokenLines(story.events, width)),
    ...gap(
      story.files.length === 0 ? [] : [style.strong("Files"), ...fileLines(story.files).map((line) => `  ${line}`)],
    ),
    "",
    ...(goal.ended_at === null
      ? [`${goal.status}  ${plural(goal.usage.steps, "step")} so far`]
      : [outcomeLine(goal, style), ...reasonLines({ goal, shortId, models: view.models }, width)]),
    ...(story.steps.length === 0
      ? []
      : [
          style.faint(
            `Any step    npx outerloop show ${shortId}.${story.steps[0]?.number ?? 1}   (--request: exactly what the model was sent)`,
          ),
        ]),
  ];
}

const gap = (lines: readonly string[]) => (lines.length === 0 ? [] : ["", ...lines]);

function headLines({ goal, shortId, now }: Story, width: number, style: Style): string[] {
  const { budget, usage } = goal;
  const tookMs = (goal.ended_at === null ? now : Date.parse(goal.ended_at)) - Date.parse(goal.created_at);
  const labels = Object.entries(goal.labels).map(([key, value]) => `${key}=${value}`);
  const facts: [string, string][] = [
    [
      "created",
      `${goal.created_at.replace("T", " ").replace(/\.\d+Z$/, " UTC")}, ${goal.ended_at === null ? "going on for" : "took"} ${formatDuration(tookMs)}`,
    ],
    [
      "budget",
      [
        `${formatCount(usage.steps)} of ${plural(budget.steps, "step")}`,
        `${formatCount(usage.tokens)} of ${plural(budget.tokens, "token")}`,
        `${formatUsd(usage.usd)}${budget.usd === null ? "" : ` of ${formatUsd(budget.usd)}`}`,
        `${formatDuration(tookMs)} of ${formatDuration(budget.wall_ms)}`,
      ].join(" · "),
    ],
    ["planning", typeof goal.planning === "string" ? goal.planning : `every ${goal.planning.every_n} tasks`],
    ...(goal.session === null ? [] : [["session", goal.session] as [string, string]]),
    ...(labels.length === 0 ? [] : [["labels", labels.join(", ")] as [string, string]]),
  ];
  return [
    `${style.strong(`Goal ${shortId}`)}  ${paintStatus(goal.status, goal.status, style)}`,
    ...wrapText(printableBlock(goal.text), width, "  "),
    ...facts.map(([name, value]) => `  ${style.faint(name.padEnd(10))}${truncate(printableLine(value), width - 12)}`),
  ];
}

function roundLines(story: Story, view: GoalView, index: number, width: number, style: Style): string[] {
  const round = view.rounds[index]!;
  const number = view.rounds.slice(0, index + 1).filter((each) => each.taskIds.length > 0).length;
  const tasks = round.taskIds.flatMap((id) => view.tasks.find((task) => task.id === id) ?? []);
  return [
    style.strong(`Plan ${number}`) + `  ${plural(tasks.length, "task")}`,
    ...guardLines(story, index, width),
    ...stepLines(plannerSteps(story, round.round), width, "  ", style),
    ...tasks.flatMap((task) => taskLines(story, view, task, width, "  ", style)),
  ];
}

/** What was understood of the goal's text, and what its submitter was asked about it. */
function intakeLines(story: Story, width: number, style: Style): string[] {
  const { goal } = story;
  const { intake } = goal;
  const lines =
    intake === null
      ? []
      : [
          style.strong("Understood"),
          ...stepLines(
            story.steps.filter((step) => step.stage === "intake"),
            width,
            "  ",
            style,
          ),
          ...wrapText(printableLine(intake.intent), width, "  "),
          ...named("deliverable", intake.deliverable === "" ? [] : [intake.deliverable], width, style),
          ...named("constraints", intake.constraints, width, style),
          ...named("risk", intake.risk === "" ? [] : [intake.risk], width, style),
          ...named(
            "must hold",
            intake.evidence.map((item) => printableJson(item)),
            width,
            style,
          ),
          ...(goal.clarifications.some(({ about }) => about === "intake") || goal.question !== null
            ? []
            : intake.questions.flatMap((each) => named("assumed", [`${each.question} ${each.default}`], width, style))),
        ];
  return [
    ...lines,
    ...goal.clarifications.flatMap((each) => [
      ...named("asked", [each.question], width, style),
      ...named(
        each.by === null ? "default" : "answered",
        [`${each.answer}${each.by === null ? "" : `  (${each.by})`}`],
        width,
        style,
      ),
    ]),
    ...(goal.question === null
      ? []
      : [
          `  ${style.busy("asks you")}`,
          ...questionWords(
            { text: goal.question.text, assumed: goal.question.default, deadlineAt: goal.question.deadline_at },
            story.shortId,
          ).flatMap((line) => wrapText(printableLine(line), width, "    ")),
        ]),
  ];
}

function named(name: string, values: readonly string[], width: number, style: Style): string[] {
  if (values.length === 0) return [];
  const [first = "", ...rest] = wrapText(values.map(printableLine).join("; "), width - 12, " ".repeat(14));
  return [`  ${style.faint(name.padEnd(12))}${first.trimStart()}`, ...rest];
}

/** What the guards on plans found between the plan before and this one. */
function guardLines({ events }: Story, index: number, width: number): string[] {
  const plans = events.flatMap((event, at) => (event.type === "goal.planned" ? [at] : []));
  const from = index === 0 ? 0 : (plans[index - 1] ?? 0);
  return events
    .slice(from, plans[index])
    .filter((event) => event.type === "goal.guarded")
    .flatMap((event) => {
      const data = readEventData(event);
      return wrapText(`guard: ${printableLine(guardWords(data))}: ${printableLine(data.why)}`, width, "  ");
    });
}

/** Steps of a planner carry the round as their attempt. */
function plannerSteps({ steps }: Story, round: number): readonly StepResource[] {
  return steps.filter((step) => step.task === null && step.attempt === round);
}

/** The planner's last look, which ended the goal instead of planning. */
function lastPlanLines(story: Story, view: GoalView, width: number, style: Style): string[] {
  const rounds = new Set(view.rounds.filter((round) => round.taskIds.length > 0).map((round) => round.round));
  const steps = story.steps.filter(
    (step) => step.task === null && step.stage !== "intake" && !rounds.has(step.attempt),
  );
  if (steps.length === 0) return [];
  const after = view.rounds.length === 0 ? 0 : view.rounds.length;
  return ["", style.strong("Planner"), ...guardLines(story, after, width), ...stepLines(steps, width, "  ", style)];
}

/** Behind a task's first line stands what became of it. */
const statusRoom = 12;

function taskLines(
  story: Story,
  view: GoalView,
  task: TaskView,
  width: number,
  indent: string,
  style: Style,
): string[] {
  const resource = story.goal.tasks.find((each) => each.id === task.id);
  const status = resource !== undefined && resource.status === "cancelled" ? "cancelled" : shownStatus(view, task);
  const after = task.dependsOn.length === 0 ? "" : `  (after ${afterKeys(task.dependsOn)})`;
  const inner = `${indent}    `;
  const [first = "", ...rest] = wrapText(printableBlock(task.text).trim(), width - statusRoom - widthOf(after), inner);
  return [
    `${indent}${style.strong(printableLine(task.key).padEnd(3))} ${first.trimStart()}${style.faint(after)}  ${paintTask(status, style)}`,
    ...rest,
    ...task.attempts.flatMap((attempt) => attemptLines(story, task, attempt, width, inner, style)),
    ...(task.status === "split" ? [`${inner}split → ${task.into.map(printableLine).join(", ")}`] : []),
    ...(task.reason === null || task.status === "waits"
      ? []
      : wrapText(`${task.status}: ${printableLine(task.reason)}`, width, inner)),
    ...resultLines(task, resource?.result ?? null, width, inner, style),
    ...subtasksOf(view, task).flatMap((each) => taskLines(story, view, each, width, inner, style)),
  ];
}

function attemptLines(
  story: Story,
  task: TaskView,
  attempt: AttemptView,
  width: number,
  indent: string,
  style: Style,
): string[] {
  const steps = story.steps.filter((step) => step.task === task.id && step.attempt === attempt.attempt);
  const hasNext = task.attempts.some((each) => each.attempt > attempt.attempt);
  const verdict = attempt.verdict;
  return [
    ...(task.attempts.length > 1
      ? [
          `${indent}attempt ${attempt.attempt}${attempt.hint === null ? "" : style.faint(` hint: ${truncate(printableLine(attempt.hint), Math.max(20, width - indent.length - 20))}`)}`,
        ]
      : []),
    ...stepLines(steps, width, `${indent}  `, style),
    ...(verdict === null
      ? hasNext
        ? wrapText(retryWords(task, attempt), width, `${indent}  `)
        : []
      : wrapText(
          `verdict ${printableLine(verdict.status)}${verdict.evidenceMet ? "" : " (evidence missing)"}${verdict.reason.trim() === "" ? "" : `: ${printableLine(verdict.reason)}`}`,
          width,
          `${indent}  `,
        )),
  ];
}

/** A result is often a page; its beginning says which one. */
const maxResultLines = 4;

function resultLines(task: TaskView, result: string | null, width: number, indent: string, style: Style): string[] {
  if (result === null || result.trim() === "" || task.status === "split") return [];
  const lines = wrapText(printableBlock(result.trim()), width, `${indent}  `).filter((line) => line.trim() !== "");
  const more = lines.length - maxResultLines;
  return [
    `${indent}result`,
    ...lines.slice(0, more === 1 ? undefined : maxResultLines),
    ...(more > 1 ? [style.faint(`${indent}  … ${more} more lines`)] : []),
  ];
}

function paintTask(status: string, style: Style): string {
  if (status === "done") return style.good(status);
  if (status === "failed" || status === "abandoned" || status === "cancelled") return style.bad(status);
  return status === "waits" || status === "split" ? style.faint(status) : style.busy(status);
}

const brokenSchema = z.object({
  citations: z.object({ broken: z.array(z.object({ path: z.string(), line: z.int(), quote: z.string() })) }),
});

/** Citations whose words do not stand where they say: only the goal's last event names them. */
function brokenLines(events: readonly EventResource[], width: number): string[] {
  const read = brokenSchema.safeParse(events.at(-1)?.data);
  if (!read.success || read.data.citations.broken.length === 0) return [];
  return [
    "Citations that do not hold",
    ...read.data.citations.broken.flatMap((each) =>
      wrapText(printableLine(`${each.path}:${each.line} "${each.quote}"`), width, "  "),
    ),
  ];
}
