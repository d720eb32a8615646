/**
 * A conversation that ends in a structured answer: asks, reads, and asks again with what is wrong, each call paid for before it is made
 * and handed to its caller to journal. After a crash it goes on from the calls that were journaled.
 */
import type { z } from "zod";
import type { Held, PriceCall } from "./domain/budget.ts";
import type { Caller, ModelRequest, Usage } from "./domain/model.ts";
import type { MessageRef, ModelStep } from "./domain/step.ts";
import { failpoint, type FailpointName } from "./failpoints.ts";
import { ask } from "./models/ask.ts";
import { readStructured, repairRequest, type StructuredRead } from "./models/structured.ts";
import type { StageRuntime } from "./stage-runtime.ts";
import type { Committed, Hold, TaskChange } from "./store/commit.ts";
import { makeRoom } from "./store/make-room.ts";
import { journalModelCall } from "./store/step-rows.ts";

/** What a call adds to the commit that follows it; empty where an earlier claim has journaled it. */
export type Journal = Pick<TaskChange, "steps" | "prompts" | "blobs" | "settle" | "events">;

export type Answered<Value> =
  | { readonly kind: "answer"; readonly read: StructuredRead<Value>; readonly journal: Journal }
  /** A budget is spent or held by others, the goal was paused, or the claim was lost. */
  | { readonly kind: "none"; readonly committed: Committed };

/** How an answer is read. */
export type AnswerSchema<Value> = z.ZodType<Value>;

export interface ConversationParts<Value> {
  readonly runtime: Pick<StageRuntime, "models" | "metrics" | "texts" | "redactor" | "journalFormat">;
  readonly request: ModelRequest;
  readonly schema: AnswerSchema<Value>;
  readonly attempt: number;
  /** The position of its first call. */
  readonly seq: number;
  /** What was journaled of this attempt. */
  readonly kept: readonly ModelStep[];
  /** null for calls of a planner. */
  readonly task: { readonly id: string; readonly key: string } | null;
  readonly caller: Omit<Caller, "priced">;
  readonly price: PriceCall;
  /** What is reserved for the claim now. */
  readonly held: () => Held;
  readonly commit: (change: { readonly reserve: number; readonly hold: Hold }) => Promise<Committed>;
  readonly lost: AbortSignal;
  /** Where a test may end the process: the call is paid for and not journaled. */
  readonly answered: FailpointName;
}

export class Conversation<Value> {
  readonly #parts: ConversationParts<Value>;
  readonly #maxOutputTokens: number;
  #request: ModelRequest;
  #added: readonly MessageRef<string>[];
  #seq: number;
  #message: ModelStep["output"]["message"] | undefined;
  /** Who answered last, as its route names it. */
  #answeredBy = "";
  readonly #unusable: string[] = [];
  /** What the provider billed for the call before. */
  #before: Usage | undefined;

  constructor(parts: ConversationParts<Value>) {
    this.#parts = parts;
    this.#request = parts.request;
    this.#maxOutputTokens = parts.request.maxOutputTokens;
    this.#seq = parts.seq;
    this.#added = [lastUserMessage(parts.request)];
  }

  /** @throws OuterloopError what the model's provider said, or the abort of `lost` */
  async ask(): Promise<Answered<Value>> {
    const { runtime, schema, kept, price, held, commit, lost, attempt, task } = this.#parts;
    const seq = this.#seq;
    const earlier = kept.find((step) => step.seq === seq);
    if (earlier !== undefined) return this.#read(earlier, {}, schema);
    const room = await makeRoom({ request: this.#request, price, before: this.#before }, held(), commit);
    if (room.kind === "none") return room;
    const { request } = room;
    const { response, durationMs } = await ask(request, {
      model: runtime.models.model,
      metrics: runtime.metrics,
      signal: lost,
      redactor: runtime.redactor,
      text: runtime.texts.of(this.#parts.caller.goalId, {
        task: task?.key ?? null,
        stage: request.stage,
        attempt,
        seq,
        output: request.output?.name ?? null,
      }),
      caller: { ...this.#parts.caller, priced: held().money },
      avoid: this.#avoid,
    });
    failpoint(this.#parts.answered);
    const { step, row, prompts, blobs, settle, event } = journalModelCall(
      {
        attempt,
        seq,
        stage: request.stage,
        request,
        added: this.#added,
        elided: [],
        response,
        durationMs,
        format: runtime.journalFormat(),
      },
      task,
    );
    this.#request = request;
    return this.#read(step, { steps: [row], prompts, blobs, settle, events: [event] }, schema);
  }

  #read(step: ModelStep, journal: Journal, schema: AnswerSchema<Value>): Answered<Value> {
    this.#message = step.output.message;
    this.#answeredBy = step.output.asked ?? `${step.output.provider}/${step.output.model}`;
    this.#before = step.usage;
    return { kind: "answer", read: readStructured(step.output.message.text, schema), journal };
  }

  /**
   * How often an answer that cannot be read is sent back: once to the model that gave it, and then to another where the
   * route has one.
   */
  get maxRepairs(): number {
    const { runtime, request, caller } = this.#parts;
    return runtime.models.countModels(request.stage, caller) > 1 ? 2 : 1;
  }

  /** Who was told what is wrong and answered unusably again. */
  get #avoid(): readonly string[] {
    return this.#unusable.filter((model, index) => this.#unusable.indexOf(model) < index);
  }

  /** The next call says what is wrong with the last answer. */
  sendBack(why: string): void {
    if (this.#message === undefined) throw new Error("nothing was answered yet");
    this.#unusable.push(this.#answeredBy);
    const request = { ...this.#request, maxOutputTokens: this.#maxOutputTokens };
    this.#request = repairRequest(request, { message: this.#message }, why);
    this.#added = [{ role: "assistant", seq: this.#seq }, lastUserMessage(this.#request)];
    this.#seq += 1;
  }
}

function lastUserMessage(request: ModelRequest): MessageRef<string> {
  const last = request.messages.at(-1);
  return { role: "user", parts: last?.role === "user" ? last.parts : [] };
}
