/** What ingress needs of the house, and what may be set about it. */
import type { Config, Principal, Runtime } from "@outerloop/core";
import type { Registry } from "@outerloop/skills";

export type IngressParts = Pick<
  Runtime,
  "log" | "database" | "db" | "queue" | "bus" | "metrics" | "progress" | "createId" | "redactor" | "send" | "dispatch"
>;

export interface IngressOptions {
  /** Whose server this is, for `/healthz`. */
  readonly instance: string;
  /** What seals the cookies of people's sessions; the same in all replicas. Random without it, so that sessions end with the process. */
  readonly sessionSecret?: string;
  /** Whether `/metrics` needs no key. */
  readonly metricsOpen?: boolean;
  /** Event streams open at once in this process. */
  readonly maxWatchers?: number;
  /** What tools there are, to check arguments that a person edited. A tool that is not known here is checked by its executor. */
  readonly tools?: Pick<Registry, "get" | "check">;
  /** Bytes of events that are kept for those who watch. */
  readonly eventCacheBytes?: number;
  /** Bytes of a request's body. */
  readonly maxBodyBytes?: number;
  /** Bytes of one goal's recording. */
  readonly maxRecordingBytes?: number;
  /** How long a question waits for its answer where the goal names no time. */
  readonly questionDeadlineMs?: number;
  /** Who may begin goals by signed events; nobody without it. */
  readonly webhooks?: Config["webhooks"];
}

/** Every stream holds a connection, a buffer and its share of the safety poll. */
export const defaultMaxWatchers = 2000;
/** The newest page of some thousand goals. */
export const defaultEventCacheBytes = 64 * 1024 * 1024;
/** 64 MiB of attachments are 86 MiB in base64; the rest is room for the JSON around them. */
export const defaultMaxBodyBytes = 96 * 1024 * 1024;
/** An event, not a document. */
export const defaultWebhooks: Config["webhooks"] = { sources: [], toleranceMs: 300_000, maxBytes: 1024 * 1024 };

/** A day: whoever posts in the evening answers in the morning. */
export const defaultQuestionDeadlineMs = 24 * 3_600_000;

/** What a request carries from one piece of the pipeline to the next. */
export interface RequestState {
  readonly Variables: {
    requestId: string;
    /** The pattern, not the path: paths hold ids. */
    route: string;
    principal: Principal;
  };
}
