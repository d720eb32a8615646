/**
 * GitHub Copilot, by its official SDK. What the SDK starts is an agent; here it is made to answer once: a new session for
 * each call, tools that it may only declare, one request (`copilot/runtime.ts`). A conversation goes out as one prompt
 * (`copilot/prompt.ts`). Left out, since the runtime does not know them: temperature, service tier, the effort `none`, and
 * the limit on an answer's length, for which the model's own holds.
 *
 * With a base URL it serves a model of one's own, as the SDK's "bring your own key" does, and needs nothing of GitHub.
 */
import type { CopilotSession, SessionConfig } from "@github/copilot-sdk";
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { messageOf } from "../../domain/errors.ts";
import type { ModelCallOptions, ModelRequest } from "../../domain/model.ts";
import type { Capabilities, Provider, ProviderKind } from "../provider.ts";
import { toPrompt, toSystem, toToolName } from "./copilot/prompt.ts";
import { loadCopilotSdk, startRuntime, type CopilotSdk, type Runtime } from "./copilot/runtime.ts";
import { copilotError, refusedToken, requireToken } from "./copilot/token.ts";
import { createTurnReader } from "./copilot/turn.ts";
import { contextOf, timeoutsOf, type Connection } from "./shared/connection.ts";
import { endedEarly, liveCall } from "./shared/live-call.ts";
import { withPromptedSchema } from "./shared/prompted-schema.ts";
import { faultError, type Fault } from "./shared/provider-error.ts";

const capabilities: Capabilities = {
  tools: true,
  structured: "prompted",
  embeddings: false,
  transcription: false,
  flattened: true,
};

export const copilotKind: ProviderKind = {
  name: "copilot",
  options: z.strictObject({}),
  env: { key: "COPILOT_GITHUB_TOKEN", baseUrl: "COPILOT_BASE_URL" },
  needsKey: (baseUrl) => baseUrl === undefined,
  defaults: ({ baseURL }) => ({ listed: baseURL === undefined }),
  // Billed by requests of a subscription, not by tokens.
  prices: { asOf: "2026-11-20", models: {} },
  create: (connection) => createCopilot(connection),
};

/** @param load how the SDK is reached; another in tests of an installation without it */
export function createCopilot(connection: Connection, load: () => Promise<CopilotSdk> = loadCopilotSdk): Provider {
  requireToken(connection);
  let starting: Promise<Runtime> | undefined;
  const runtime = () => {
    if (!starting) {
      starting = load().then((sdk) => startRuntime(sdk, connection));
      // A start that failed is tried again by the next call.
      starting.catch(() => (starting = undefined));
    }
    return starting;
  };
  /** A runtime that died is started anew by the next call. */
  const forgetDead = (thrown: unknown) => {
    if (!/connection (is|got) (closed|disposed)/i.test(messageOf(thrown))) return;
    starting?.then((dead) => dead.close()).catch(() => undefined);
    starting = undefined;
  };
  return {
    name: connection.name,
    capabilities: () => capabilities,
    generate(model, request, options) {
      const context = contextOf(connection, `${connection.name}/${model}`);
      return liveCall(context, timeoutsOf(connection), options, async (live) => {
        const { client, watch } = await orAborted(runtime(), live.signal);
        const sessionId = randomUUID();
        const watched = watch(sessionId);
        const toError = (fault: Fault) =>
          connection.baseURL ? faultError(fault, context) : copilotError(fault, context);
        const reader = createTurnReader(live, toError, () => endedEarly(context));
        const sent = withPromptedSchema(request);
        const config = toSession(sessionId, model, sent, options, connection);
        const creating = client.createSession({ ...config, onEvent: reader.on });
        try {
          const session = await orAborted(creating, live.signal);
          await orAborted(session.send({ prompt: toPrompt(sent.messages) }), live.signal);
          const failed = watched.failed.then((fault) => Promise.reject(toError(fault)));
          return await orAborted(Promise.race([reader.response, failed]), live.signal);
        } catch (thrown) {
          forgetDead(thrown);
          throw thrown;
        } finally {
          // Neither awaited nor able to fail the call; the runtime's end ends what this leaves.
          creating
            .then((session) => endSession(session, () => client.deleteSession(sessionId)))
            .catch(() => undefined)
            .finally(() => watched.end());
        }
      });
    },
    ...(!connection.baseURL && {
      listModels(signal: AbortSignal) {
        const context = contextOf(connection, connection.name);
        return liveCall(context, timeoutsOf(connection), { signal }, async (live) => {
          const { client } = await orAborted(runtime(), live.signal);
          const models = await orAborted(client.listModels(), live.signal).catch((thrown: unknown) => {
            throw /not authenticated/i.test(String(thrown)) ? refusedToken(context) : thrown;
          });
          return models.filter(({ policy }) => policy?.state !== "disabled").map(({ id }) => id);
        });
      },
    }),
    async close() {
      const started = await starting?.catch(() => undefined);
      starting = undefined;
      await started?.close();
    },
  };
}

function toSession(
  sessionId: string,
  model: string,
  request: ModelRequest,
  { params }: ModelCallOptions,
  { apiKey, baseURL }: Connection,
): SessionConfig {
  return {
    sessionId,
    model,
    streaming: true,
    systemMessage: { mode: "replace", content: toSystem(request) },
    tools: request.tools.map(({ name, description, parameters }) => ({
      name: toToolName(name),
      description,
      parameters,
      defer: "never",
    })),
    availableTools: request.tools.map(({ name }) => `custom:${toToolName(name)}`),
    onPermissionRequest: () => ({ kind: "reject" }),
    infiniteSessions: { enabled: false },
    enableSessionTelemetry: false,
    ...(params?.effort && params.effort !== "none" && { reasoningEffort: params.effort }),
    ...(baseURL && {
      provider: { type: "openai", wireApi: "completions", baseUrl: baseURL, ...(apiKey && { apiKey }) },
    }),
  };
}

/** Its calls of tools wait for results that never come, and its files hold the conversation. */
async function endSession(session: CopilotSession, remove: () => Promise<void>): Promise<void> {
  await session.abort();
  await session.disconnect();
  await remove();
}

/** The SDK's calls take no signal. */
async function orAborted<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(new Error("aborted"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    return await Promise.race([call, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
