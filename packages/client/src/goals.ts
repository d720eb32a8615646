/** The calls on goals (DESIGN §8). */
import { randomUUID } from "node:crypto";
import {
  artifactResourceSchema,
  goalResourceSchema,
  goalSummarySchema,
  goalUsageSchema,
  listSchema,
  recordingSchema,
  retriedSchema,
  stepResourceSchema,
  type AnswerRequest,
  type ArtifactResource,
  type EventResource,
  type GoalResource,
  type GoalStatus,
  type GoalUsageResource,
  type RerouteRequest,
  type GoalSummary,
  type ModelDelta,
  type NewGoalRequest,
  type RecordingResource,
  type ResumeRequest,
  type RetriedResource,
  type StepResource,
} from "@outerloop/core/domain";
import type { Call, Http } from "./http.ts";
import { allItems, eachItem, type Page } from "./pages.ts";
import { watchGoal, type WatchOptions } from "./watch.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface CreateOptions extends CallOptions {
  /** The same key with the same request never makes a second goal. One is made up where none is given. */
  readonly idempotencyKey?: string;
}

export interface GoalFilter {
  readonly status?: GoalStatus;
  readonly session?: string;
  /** Items a page. */
  readonly limit?: number;
}

export interface Goals {
  /** Safe to call on a bad line: it repeats itself under one idempotency key. */
  create(goal: NewGoalRequest, options?: CreateOptions): Promise<GoalResource>;
  /** @param id of a goal, or a beginning of it that no other goal has */
  get(id: string, options?: CallOptions): Promise<GoalResource>;
  /** Newest first. */
  list(filter?: GoalFilter, options?: CallOptions): AsyncIterable<GoalSummary>;
  page(
    filter?: GoalFilter & { readonly cursor?: string | undefined },
    options?: CallOptions,
  ): Promise<Page<GoalSummary>>;
  cancel(id: string, reason?: string, options?: CallOptions): Promise<GoalResource>;
  pause(id: string, options?: CallOptions): Promise<GoalResource>;
  /** Lets a paused goal go on, or one that failed on a budget with more of it: `budget` names new totals. */
  resume(id: string, request?: ResumeRequest, options?: CallOptions): Promise<GoalResource>;
  /** Tries again now what waits because a model or a service was away; says what it was. */
  retry(id: string, options?: CallOptions): Promise<RetriedResource>;
  /** Names the models of a goal or of one of its tasks, by stage; replaces what was said before. */
  reroute(id: string, request: RerouteRequest, options?: CallOptions): Promise<GoalResource>;
  /** What its model calls took and cost. */
  usage(id: string, options?: CallOptions): Promise<GoalUsageResource>;
  /** Safe to call on a bad line, as `create` is. */
  signal(
    id: string,
    signal: {
      readonly name: string;
      readonly payload?: unknown;
      /** An id or a key such as t3: meant for that task alone. */
      readonly task?: string;
    },
    options?: CreateOptions,
  ): Promise<GoalResource>;
  /** Answers what it waits to be told. Safe to call on a bad line where the question is named. */
  answer(id: string, answer: AnswerRequest, options?: CallOptions): Promise<GoalResource>;
  /** The journal, oldest first. */
  steps(id: string, options?: CallOptions): AsyncIterable<StepResource>;
  /** What its models were asked and answered so far, to be replayed without them. */
  recording(id: string, options?: CallOptions): Promise<RecordingResource>;
  artifacts(id: string, options?: CallOptions): Promise<readonly ArtifactResource[]>;
  artifact(id: string, path: string, options?: CallOptions): Promise<Uint8Array>;
  /** Every event once and in order, over as many connections as it takes; ends with the goal. */
  watch(id: string, options?: WatchOptions & { readonly deltas?: false }): AsyncIterable<EventResource>;
  /** And between them what models are writing. */
  watch(id: string, options: WatchOptions & { readonly deltas: boolean }): AsyncIterable<EventResource | ModelDelta>;
}

/** Times that a safe request is sent: with the waits between about 4 s. */
const tries = 5;
/** 64 MB of attachments, or of a recording, through a slow line. */
const transferTimeoutMs = 300_000;

export function createGoals(http: Http, idleMs: number | undefined): Goals {
  const at = (id: string, rest = "") => `/v1/goals/${encodeURIComponent(id)}${rest}`;
  const steer = (id: string, verb: string, body: unknown, options: CallOptions, extra: Partial<Call> = {}) =>
    http.json(goalResourceSchema, { method: "POST", path: at(id, `/${verb}`), body, ...options, ...extra });
  const page: Goals["page"] = (filter = {}, options = {}) =>
    http.json(listSchema(goalSummarySchema), { path: "/v1/goals", query: { ...filter }, tries, ...options });

  return {
    create: (goal, { idempotencyKey = randomUUID(), ...options } = {}) =>
      http.json(goalResourceSchema, {
        method: "POST",
        path: "/v1/goals",
        body: goal,
        headers: { "idempotency-key": idempotencyKey },
        timeoutMs: transferTimeoutMs,
        tries,
        ...options,
      }),
    get: (id, options = {}) => http.json(goalResourceSchema, { path: at(id), tries, ...options }),
    page,
    list: (filter = {}, options = {}) => eachItem((cursor) => page({ ...filter, cursor }, options)),
    // Steering twice is steering once, so these may be repeated.
    cancel: (id, reason, options = {}) =>
      steer(id, "cancel", reason === undefined ? {} : { reason }, options, { tries }),
    pause: (id, options = {}) => steer(id, "pause", {}, options, { tries }),
    resume: (id, request = {}, options = {}) => steer(id, "resume", request, options, { tries }),
    // Not repeated: a second time there is nothing left to retry, which is an error.
    retry: (id, options = {}) =>
      http.json(retriedSchema, { method: "POST", path: at(id, "/retry"), body: {}, ...options }),
    reroute: (id, request, options = {}) =>
      http.json(goalResourceSchema, { method: "PUT", path: at(id, "/models"), body: request, tries, ...options }),
    usage: (id, options = {}) => http.json(goalUsageSchema, { path: at(id, "/usage"), tries, ...options }),
    signal: (id, signal, { idempotencyKey = randomUUID(), ...options } = {}) =>
      steer(id, "signals", signal, options, { headers: { "idempotency-key": idempotencyKey }, tries }),
    answer: (id, answer, options = {}) =>
      steer(id, "answer", answer, options, answer.question === undefined ? {} : { tries }),
    steps: (id, options = {}) =>
      eachItem((cursor) =>
        http.json(listSchema(stepResourceSchema), { path: at(id, "/steps"), query: { cursor }, tries, ...options }),
      ),
    recording: (id, options = {}) =>
      http.json(recordingSchema, { path: at(id, "/recording"), tries, timeoutMs: transferTimeoutMs, ...options }),
    artifacts: (id, options = {}) =>
      allItems(
        eachItem((cursor) =>
          http.json(listSchema(artifactResourceSchema), {
            path: at(id, "/artifacts"),
            query: { cursor },
            tries,
            ...options,
          }),
        ),
      ),
    artifact: (id, path, options = {}) =>
      http.bytes({
        path: at(id, `/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`),
        headers: { accept: "*/*" },
        tries,
        ...options,
      }),
    // By its own word: deltas come only where they are asked for.
    watch: ((id, options = {}) => watchGoal(http, id, options, idleMs)) as Goals["watch"],
  };
}
