/**
 * What only the model that wrote it understands: reasoning items, thinking blocks. They go back unchanged, and to
 * nobody else: they are bound to provider, API and model, and some models also bind them to the conversation so far.
 */
import type { JsonValue } from "../../../domain/json.ts";
import type { AssistantMessage, ModelRequest } from "../../../domain/model.ts";

export interface OpaqueOwner {
  readonly provider: string;
  readonly api: string;
  readonly model: string;
}

type Opaque = NonNullable<AssistantMessage["opaque"]>;

/** Items must be JSON already: they come from a provider's answer. */
export function keepOpaque(owner: OpaqueOwner, items: readonly unknown[]): Opaque {
  return {
    provider: owner.provider,
    items: [{ api: owner.api, model: owner.model, items: items as readonly JsonValue[] }],
  };
}

/** The items of a message where `owner` wrote them, else undefined. */
export function opaqueOf<Item>(message: AssistantMessage, owner: OpaqueOwner): readonly Item[] | undefined {
  if (message.opaque?.provider !== owner.provider) return undefined;
  const [kept] = message.opaque.items as readonly { api?: string; model?: string; items?: readonly Item[] }[];
  return kept?.api === owner.api && kept.model === owner.model ? kept.items : undefined;
}

/**
 * Sends a request; where the provider rejects what an earlier turn carried (a block bound to a conversation that has
 * been compacted since, an expired encryption key), sends it once more without. A rejected request costs nothing.
 */
export async function withFreshOpaque<T>(
  request: ModelRequest,
  send: (request: ModelRequest) => Promise<T>,
): Promise<T> {
  try {
    return await send(request);
  } catch (thrown) {
    const plain = withoutOpaque(request);
    if (plain === request || !rejectsOpaque(thrown)) throw thrown;
    return send(plain);
  }
}

function rejectsOpaque(thrown: unknown): boolean {
  const { status, message } = thrown as { status?: unknown; message?: unknown };
  return status === 400 && typeof message === "string" && /signature|thinking|encrypted|reasoning/i.test(message);
}

function withoutOpaque(request: ModelRequest): ModelRequest {
  if (!request.messages.some((message) => message.role === "assistant" && message.opaque)) return request;
  const messages = request.messages.map((message) => {
    if (message.role !== "assistant") return message;
    const { opaque: _dropped, ...plain } = message;
    return plain;
  });
  return { ...request, messages };
}
