/** The HTTP API's resources (DESIGN §8), shared by ingress, which writes them, and the client, which reads them. */
import { z } from "zod";
import { eventTypes } from "./event.ts";
import { goalStatuses } from "./goal.ts";
import { modelWishesSchema } from "./model-api.ts";
import { maxAnswerChars, questionSubjects } from "./question.ts";
import { storableText } from "./storable-text.ts";
import { taskStatuses } from "./task.ts";
import { waitKinds } from "./wait.ts";

const instant = z.iso.datetime();

/** Limits of a request, each with its name in the error message. Configuration may change those of ingress. */
export const requestLimits = {
  /** Characters of a goal's text: a long brief; material belongs into attachments. */
  maxTextChars: 100_000,
  maxAttachments: 2000,
  /** Bytes of all attachments together. */
  maxAttachmentBytes: 64 * 1024 * 1024,
  maxLabels: 50,
  maxLabelChars: 200,
} as const;

export { storableText };

export const attachmentPathSchema = storableText
  .min(1)
  .max(512)
  // oxlint-disable-next-line no-control-regex -- they would break lines of lists, citations and terminals
  .refine((path) => !/[\x00-\x1f\x7f]/.test(path), "must not contain control characters")
  .refine(
    (path) =>
      !path.startsWith("/") &&
      !path.includes("\\") &&
      !path.split("/").some((part) => part === "" || part === "." || part === ".."),
    "must be a relative path with / between folders and without . or ..",
  );

export const newAttachmentSchema = z.union([
  z.strictObject({ path: attachmentPathSchema, text: z.string() }),
  z.strictObject({ path: attachmentPathSchema, base64: z.base64() }),
]);

const budgetFields = {
  steps: z.int().min(1).max(100_000).optional(),
  wall_ms: z
    .int()
    .min(1000)
    .max(366 * 86_400_000)
    .optional(),
  tokens: z.int().min(1).max(10_000_000_000).optional(),
  usd: z.number().min(0).max(1_000_000).optional(),
};

/** The body of `POST /v1/goals/:id/resume`: new totals. `usd: null` takes a limit on money away. */
export const resumeSchema = z.strictObject({
  budget: z.strictObject({ ...budgetFields, usd: budgetFields.usd.nullable() }).optional(),
});
export type ResumeRequest = z.input<typeof resumeSchema>;

/** The longest that anybody is waited for. */
const maxQuestionMs = 366 * 86_400_000;

/** The body of `POST /v1/goals/:id/answer`. Without `question` the open one is meant. */
export const answerSchema = z.strictObject({
  text: storableText.trim().min(1).max(maxAnswerChars),
  question: z.string().min(1).max(64).optional(),
});
export type AnswerRequest = z.input<typeof answerSchema>;

/** The body of `POST /v1/goals`. */
export const newGoalSchema = z.strictObject({
  text: storableText.trim().min(1).max(requestLimits.maxTextChars),
  session: storableText.trim().min(1).max(200).optional(),
  budget: z.strictObject(budgetFields).optional(),
  planning: z
    .union([z.enum(["adaptive", "every-step"]), z.strictObject({ every_n: z.int().min(1).max(1000) })])
    .optional(),
  /** Whether its submitter may be asked what the text leaves open, and for how long an answer is waited for. */
  questions: z
    .union([z.boolean(), z.strictObject({ wait_ms: z.int().min(1000).max(maxQuestionMs).optional() })])
    .optional(),
  priority: z.int().min(-100).max(100).optional(),
  /** Models of its own, by stage. */
  models: modelWishesSchema.optional(),
  attachments: z.array(newAttachmentSchema).max(requestLimits.maxAttachments).optional(),
  /** Reserved: refused rather than taken and not called. */
  callback_url: z
    .custom<undefined>(
      (value) => value === undefined,
      "is not called by this version; watch the events of the goal instead",
    )
    .optional(),
  labels: z
    .record(storableText.min(1).max(100), storableText.max(requestLimits.maxLabelChars))
    .refine(
      (labels) => Object.keys(labels).length <= requestLimits.maxLabels,
      `at most ${requestLimits.maxLabels} entries`,
    )
    .optional(),
});
export type NewGoalRequest = z.input<typeof newGoalSchema>;

export const taskResourceSchema = z.object({
  id: z.string(),
  key: z.string(),
  text: z.string(),
  status: z.enum(taskStatuses),
  attempt: z.int(),
  depth: z.int(),
  parent: z.string().nullable(),
  depends_on: z.array(z.string()),
  tools: z.array(z.string()),
  evidence: z.array(z.unknown()),
  hint: z.string().nullable(),
  /** As the planner thinks: easy, normal or hard, which has a route of its own. */
  difficulty: z.string().default("normal"),
  /** Models of its own, by stage; null where its goal's serve. */
  models: z.record(z.string(), z.array(z.string())).nullable().default(null),
  result: z.string().nullable(),
  reason: z.string().nullable(),
  /** What it waits for now; null where it does not wait. `id` is the approval's. */
  waiting_on: z
    .array(z.object({ id: z.string(), kind: z.enum(waitKinds), name: z.string(), deadline_at: z.string() }))
    .nullable(),
  created_at: instant,
  started_at: instant.nullable(),
  ended_at: instant.nullable(),
});
export type TaskResource = z.output<typeof taskResourceSchema>;

/** A goal as a list shows it. */
export const goalSummarySchema = z.object({
  id: z.string(),
  status: z.enum(goalStatuses),
  text: z.string(),
  session: z.string().nullable(),
  reason: z.string().nullable(),
  detail: z.string().nullable(),
  final_answer: z.string().nullable(),
  /** Of the answer and the files it wrote: how many citations there are, and how many hold. */
  citations: z.object({ total: z.int(), holding: z.int() }).nullable(),
  planning: z.union([z.enum(["adaptive", "every-step"]), z.object({ every_n: z.int() })]),
  priority: z.int(),
  labels: z.record(z.string(), z.string()),
  budget: z.object({ steps: z.int(), wall_ms: z.int(), tokens: z.int(), usd: z.number().nullable() }),
  /** `usd` is null where the price of a call is not known. */
  usage: z.object({ steps: z.int(), tokens: z.int(), usd: z.number().nullable() }),
  created_at: instant,
  started_at: instant.nullable(),
  ended_at: instant.nullable(),
});
export type GoalSummary = z.output<typeof goalSummarySchema>;

export const intakeResourceSchema = z.object({
  intent: z.string(),
  entities: z.array(z.object({ type: z.string(), value: z.string() })),
  constraints: z.array(z.string()),
  deliverable: z.string(),
  risk: z.string(),
  /** What must hold at the end. */
  evidence: z.array(z.unknown()),
  questions: z.array(z.object({ question: z.string(), default: z.string() })),
});

export const questionResourceSchema = z.object({
  id: z.string(),
  about: z.enum(questionSubjects),
  text: z.string(),
  /** What is taken where nobody answers in time. */
  default: z.string(),
  deadline_at: instant,
});
export type QuestionResource = z.output<typeof questionResourceSchema>;

/** With defaults for what a server of before questions does not say: whoever asks it may be newer than it. */
export const goalResourceSchema = goalSummarySchema.extend({
  /** What its text is understood to ask for; null before it was read. */
  intake: intakeResourceSchema.nullable().default(null),
  /** Questions that were answered; `by` is null where the default was taken. */
  clarifications: z
    .array(
      z.object({
        about: z.enum(questionSubjects),
        question: z.string(),
        answer: z.string(),
        by: z.string().nullable(),
        at: z.string(),
      }),
    )
    .default([]),
  /** What it waits for its submitter to answer. */
  question: questionResourceSchema.nullable().default(null),
  /** Models of its own, by stage; null where the routes serve. */
  models: z.record(z.string(), z.array(z.string())).nullable().default(null),
  tasks: z.array(taskResourceSchema),
});
export type GoalResource = z.output<typeof goalResourceSchema>;

/** `POST /v1/goals/:id/retry`: what was waiting and is due now, tasks by their keys. */
export const retriedSchema = z.object({ goal: goalResourceSchema, plan: z.boolean(), tasks: z.array(z.string()) });
export type RetriedResource = z.output<typeof retriedSchema>;

export const listSchema = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), next_cursor: z.string().nullable() });

export const eventResourceSchema = z.object({
  /** The goal's own sequence, also the SSE id. */
  seq: z.int(),
  type: z.enum(eventTypes),
  task: z.string().nullable(),
  data: z.record(z.string(), z.unknown()),
  at: instant,
});
export type EventResource = z.output<typeof eventResourceSchema>;

export const stepResourceSchema = z.object({
  /** `subject.attempt.seq`. */
  id: z.string(),
  number: z.int(),
  task: z.string().nullable(),
  stage: z.string(),
  kind: z.enum(["model", "tool"]),
  name: z.string(),
  phase: z.enum(["intent", "result"]),
  attempt: z.int(),
  seq: z.int(),
  ok: z.boolean(),
  input: z.unknown(),
  output: z.unknown(),
  usage: z.object({
    input_tokens: z.int(),
    cached_input_tokens: z.int(),
    output_tokens: z.int(),
    reasoning_tokens: z.int(),
    usd: z.number().nullable(),
  }),
  duration_ms: z.int(),
  request_hash: z.string().nullable(),
  at: instant,
});
export type StepResource = z.output<typeof stepResourceSchema>;

/** `GET /v1/steps/:id`: with the model request rebuilt from the journal; `hash` is computed anew from it. */
export const shownStepSchema = stepResourceSchema.extend({
  request: z.object({ body: z.unknown(), hash: z.string(), recorded_hash: z.string() }).nullable(),
});
export type ShownStepResource = z.output<typeof shownStepSchema>;

export const artifactResourceSchema = z.object({
  path: z.string(),
  size: z.int(),
  version: z.int(),
  hash: z.string(),
  /** `observed`: a tool's long result, put away. */
  origin: z.enum(["attached", "written", "observed"]),
  at: instant,
});
export type ArtifactResource = z.output<typeof artifactResourceSchema>;

export const approvalStatuses = ["open", "decided", "withdrawn"] as const;

/** What the person saw: refused where something else would run. */
const seenHash = z.string().max(200).optional();

/** `POST /v1/approvals/:id`. */
export const decisionSchema = z.discriminatedUnion("decision", [
  z.strictObject({ decision: z.enum(["approve", "run_again"]), hash: seenHash }),
  z.strictObject({ decision: z.literal("edit"), args: z.record(z.string(), z.json()), hash: seenHash }),
  z.strictObject({ decision: z.literal("reject"), reason: storableText.max(2000).optional(), hash: seenHash }),
  z.strictObject({ decision: z.literal("happened"), result: storableText.max(20_000).optional(), hash: seenHash }),
]);
export type DecisionRequest = z.input<typeof decisionSchema>;

export const approvalResourceSchema = z.object({
  id: z.string(),
  /** `approval`: whether a call may run. `outcome`: what became of a call that was cut off. */
  kind: z.enum(["approval", "outcome"]),
  status: z.enum(approvalStatuses),
  goal: z.string(),
  task: z.object({ id: z.string(), key: z.string() }),
  tool: z.string(),
  version: z.string(),
  args: z.record(z.string(), z.unknown()),
  /** Of exactly what runs when it is approved. */
  hash: z.string().nullable(),
  /** What the receiver was given, where it may have been sent. */
  idempotency_key: z.string().nullable(),
  sent_at: instant.nullable(),
  /** Where another task of the goal has made the same call, or may have: approving it does it again. */
  same_call: z.object({ task: z.string(), status: z.string(), at: instant }).nullable(),
  requested_at: instant,
  deadline_at: instant,
  on_deadline: z.enum(["reject", "fail", "continue"]),
  decision: z
    .object({
      decision: z.enum(["approve", "edit", "reject", "happened", "run_again", "expired"]),
      by: z.string().nullable(),
      args: z.record(z.string(), z.unknown()).nullable(),
      reason: z.string().nullable(),
      result: z.string().nullable(),
    })
    .nullable(),
  decided_at: instant.nullable(),
});
export type ApprovalResource = z.output<typeof approvalResourceSchema>;

/** `POST /v1/goals/:id/signals`. */
export const newSignalSchema = z.strictObject({
  name: storableText.min(1).max(200),
  payload: z.unknown().optional(),
  /** An id or a key such as t3: meant for that task alone. */
  task: z.string().min(1).max(64).optional(),
});
export type NewSignalRequest = z.input<typeof newSignalSchema>;

const tenantAmounts = { steps: z.int(), tokens: z.int(), usd: z.number() };
const tenantLimitsSchema = z
  .strictObject({
    steps: z.int().min(0).max(1e12).nullable().default(null),
    tokens: z.int().min(0).max(1e15).nullable().default(null),
    usd: z
      .number()
      .min(0)
      .max(1e9)
      .refine((usd) => usd === 0 || usd >= 1e-6, "must be 0 or at least 0.000001, which is the least that is counted")
      .nullable()
      .default(null),
  })
  .refine(
    (limits) => Object.values(limits).some((limit) => limit !== null),
    "must limit steps, tokens or usd; leave the period out for no limit",
  );

/** The body of `PUT /v1/budget`: all limits of the tenant. A period that is absent has none. */
export const tenantLimitsRequestSchema = z.strictObject({
  day: tenantLimitsSchema.optional(),
  month: tenantLimitsSchema.optional(),
  total: tenantLimitsSchema.optional(),
});
export type TenantLimitsRequest = z.input<typeof tenantLimitsRequestSchema>;

const tenantPeriodSchema = z.object({
  limits: z.object({ steps: z.int().nullable(), tokens: z.int().nullable(), usd: z.number().nullable() }),
  used: z.object(tenantAmounts),
  /** By goals that go on: what was lent to them and they have not used. */
  held: z.object(tenantAmounts),
  /** When it begins anew; null for never. */
  until: instant.nullable(),
});

/** `GET /v1/budget`: null for a period without limits. */
export const tenantBudgetSchema = z.object({
  day: tenantPeriodSchema.nullable(),
  month: tenantPeriodSchema.nullable(),
  total: tenantPeriodSchema.nullable(),
});
export type TenantBudgetResource = z.output<typeof tenantBudgetSchema>;

/** RFC 9457, with the fields that are wrong. */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  /** Names the request in the log. */
  instance: z.string().optional(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
});
export type Problem = z.output<typeof problemSchema>;

/** `GET /healthz`: whose server this is, so that a second start can tell its own. */
export const healthSchema = z.object({ status: z.literal("ok"), instance: z.string(), version: z.string() });
