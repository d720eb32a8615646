/** From a request that has the right shape to the goal that the store writes, or to what is wrong with it after all. */
import {
  canonicalJson,
  defaultBudget,
  requestLimits,
  sha256,
  type Budget,
  type NewAttachment,
  type newGoalSchema,
  type NewGoal,
  type Planning,
} from "@outerloop/core";
import type { z } from "zod";
import { invalid } from "../http/problem.ts";
import { defaultQuestionDeadlineMs } from "../parts.ts";

type Body = z.output<typeof newGoalSchema>;

/** @throws Refusal for attachments that are twice there or too large together */
export function toNewGoal(
  body: Body,
  idempotencyKey: string | undefined,
  questionDeadlineMs: number = defaultQuestionDeadlineMs,
): NewGoal {
  const attachments = decodeAttachments(body.attachments ?? []);
  return {
    text: body.text,
    session: body.session ?? null,
    budget: toBudget(body.budget),
    planning: toPlanning(body.planning),
    priority: body.priority ?? 0,
    labels: body.labels ?? {},
    attachments,
    questionsWaitMs: toQuestionsWaitMs(body.questions, questionDeadlineMs),
    models: body.models === undefined || Object.keys(body.models).length === 0 ? null : body.models,
    idempotency:
      idempotencyKey === undefined ? null : { key: idempotencyKey, requestHash: hashRequest(body, attachments) },
  };
}

function decodeAttachments(attachments: NonNullable<Body["attachments"]>): NewAttachment[] {
  const paths = new Set<string>();
  let size = 0;
  return attachments.map((attachment, index) => {
    if (paths.has(attachment.path)) throw invalid(`attachments[${index}].path`, "is given twice");
    paths.add(attachment.path);
    const bytes =
      "text" in attachment ? Buffer.from(attachment.text, "utf8") : Buffer.from(attachment.base64, "base64");
    size += bytes.length;
    if (size > requestLimits.maxAttachmentBytes)
      throw invalid("attachments", `at most ${requestLimits.maxAttachmentBytes} bytes together`, "too_large");
    return { path: attachment.path, bytes };
  });
}

function toBudget(budget: Body["budget"]): Budget {
  return {
    steps: budget?.steps ?? defaultBudget.steps,
    wallMs: budget?.wall_ms ?? defaultBudget.wallMs,
    tokens: budget?.tokens ?? defaultBudget.tokens,
    microUsd: budget?.usd === undefined ? defaultBudget.microUsd : Math.round(budget.usd * 1_000_000),
  };
}

function toPlanning(planning: Body["planning"]): Planning {
  if (planning === undefined) return { cadence: "adaptive" };
  return typeof planning === "string" ? { cadence: planning } : { cadence: "every-n", every: planning.every_n };
}

/** null where nobody is asked. */
function toQuestionsWaitMs(questions: Body["questions"], deadlineMs: number): number | null {
  if (questions === undefined || questions === false) return null;
  return questions === true ? deadlineMs : (questions.wait_ms ?? deadlineMs);
}

/** Equal for requests that mean the same: whatever the order of fields, and however the files were sent. */
function hashRequest(body: Body, attachments: readonly NewAttachment[]): string {
  return sha256(
    canonicalJson({ ...body, attachments: attachments.map((file) => ({ path: file.path, hash: sha256(file.bytes) })) }),
  );
}
