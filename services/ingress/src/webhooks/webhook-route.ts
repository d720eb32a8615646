/**
 * `POST /v1/triggers/webhooks/{source}`: an event that its source has signed begins a goal. No key is asked for, so nothing is
 * read, looked up or told before the signature holds: a source that there is not and one with another secret are refused alike.
 */
import {
  createSubmitter,
  goalResourceSchema,
  type GoalRow,
  type Principal,
  type Submitted,
  type WebhookSource,
} from "@outerloop/core";
import type { Hono } from "hono";
import { z } from "zod";
import { toGoalResource } from "../goals/resources.ts";
import { readBytes } from "../http/body.ts";
import type { Described } from "../http/openapi.ts";
import { invalid, Refusal } from "../http/problem.ts";
import { honoPath, json, refuseOtherMethods } from "../http/route.ts";
import { defaultWebhooks, type IngressOptions, type IngressParts, type RequestState } from "../parts.ts";
import { readPayload } from "./payload.ts";
import { nobodysSigning, verifySignature, type BadSignature } from "./signature.ts";
import { isWanted, toWebhookGoal } from "./webhook-goal.ts";

const path = "/v1/triggers/webhooks/{source}";
/** In metrics and logs: names that callers make up are not kept. No source can have it. */
const unknownSource = "(unknown)";
const outcomes = ["accepted", "repeated", "ignored", "refused", "failed"] as const;
type Outcome = (typeof outcomes)[number];

export interface WebhookRoute extends Described {
  handle(request: Request, name: string): Promise<Response>;
}

export function mountWebhooks(app: Hono<RequestState>, route: WebhookRoute): void {
  app.post(honoPath(path), (c) => {
    c.set("route", path);
    return route.handle(c.req.raw, c.req.param("source") ?? "");
  });
  refuseOtherMethods(app, honoPath(path), ["POST"]);
}

export function webhookRoute(parts: IngressParts, options: IngressOptions, now: () => number): WebhookRoute {
  const { db, bus, log, metrics, createId, send } = parts;
  const { sources, toleranceMs, maxBytes } = options.webhooks ?? defaultWebhooks;
  const byName = new Map(sources.map((source) => [source.name, source]));
  const submitter = createSubmitter(db, createId);
  const nobody = nobodysSigning();
  const count = (source: string, outcome: Outcome, by = 1) => metrics.webhookDeliveries.inc({ source, outcome }, by);
  // A counter that begins with its first event has no rate then.
  for (const { name } of sources) for (const outcome of outcomes) count(name, outcome, 0);

  async function receive(request: Request, source: WebhookSource | undefined): Promise<[Outcome, Response]> {
    const body = await readBytes(request, maxBytes, "OUTERLOOP_MAX_WEBHOOK_BYTES");
    const clock = { nowMs: now(), toleranceMs };
    const verified = verifySignature(source?.signing ?? nobody, request.headers, body, clock);
    if (source === undefined) throw notSigned(unknownSource, "unknown_source");
    if (verified.kind !== "signed") throw notSigned(source.name, verified.kind);
    const { deliveryId } = verified;
    if (deliveryId !== null && !/^[\x21-\x7e]{1,160}$/.test(deliveryId))
      throw invalid("delivery", "its id must be 1 to 160 printable ASCII characters");
    const payload = readPayload(request, body);
    if (!isWanted(source, request.headers, payload)) return ["ignored", new Response(null, { status: 204 })];

    const principal: Principal = { kind: "webhook", tenantId: source.tenantId, source: source.name };
    const submitted = await submitter.submit(
      principal,
      toWebhookGoal(source, payload, body, deliveryId, options.questionDeadlineMs),
    );
    return answer(source, submitted);
  }

  function notSigned(source: string, why: BadSignature | "unknown_source"): Refusal {
    log.warn({ event: "webhook_refused", source, why });
    return new Refusal(
      "bad_signature",
      why === "stale"
        ? `The signature is right, but its time is more than ${toleranceMs / 1000} s away from the clock of this server.`
        : "There is no such source, or this is not signed with its secret; the log of the server says which.",
      { headers: { "www-authenticate": 'Signature realm="outerloop"' } },
    );
  }

  function answer(source: WebhookSource, submitted: Submitted): [Outcome, Response] {
    switch (submitted.kind) {
      case "created":
        log.info({ event: "webhook_accepted", source: source.name, goal: submitted.goal.id });
        // Not awaited, as for any goal: what the queue misses is sent again.
        void send([submitted.job]);
        bus.publish(submitted.goal.id, submitted.goal.event_seq);
        return ["accepted", accepted(submitted.goal)];
      case "repeated":
        return ["repeated", accepted(submitted.goal)];
      case "key_taken":
        // Not the first goal's 202: this event would be lost, and nobody would know.
        throw new Refusal(
          "conflict",
          `A delivery of this id came before with another body, and began goal ${submitted.goalId}. An event needs an id of its own.`,
        );
    }
  }

  return {
    contract: contractOf(maxBytes),
    async handle(request, name) {
      const source = byName.get(name);
      const label = source?.name ?? unknownSource;
      try {
        const [outcome, response] = await receive(request, source);
        count(label, outcome);
        return response;
      } catch (thrown) {
        count(label, thrown instanceof Refusal ? "refused" : "failed");
        throw thrown;
      }
    },
  };
}

function accepted(goal: GoalRow): Response {
  return json(toGoalResource({ goal, tasks: [], question: null }), 202, { location: `/v1/goals/${goal.id}` });
}

function contractOf(maxBytes: number): WebhookRoute["contract"] {
  const text = z.string().optional();
  return {
    method: "post",
    path,
    name: "receiveWebhook",
    summary:
      "Begin a goal by an event that a configured source has signed: by Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature) or by HMAC-SHA256 in a header, as GitHub does. A form with the JSON in its field `payload` is taken too. See docs/webhooks.md.",
    role: "signature",
    headers: z.object({
      "webhook-id": text,
      "webhook-timestamp": text,
      "webhook-signature": text,
      "x-hub-signature-256": text,
      "x-github-delivery": text,
    }),
    // Where the source has no template, `text` is the goal.
    body: { schema: z.looseObject({ text }), required: true, maxBytes },
    answers: {
      202: {
        description: "Accepted; Location names the goal. The same goal again for a repeated delivery.",
        schema: ["Goal", goalResourceSchema],
      },
      204: { description: "Signed, and of no kind that this source begins goals for." },
    },
  };
}
