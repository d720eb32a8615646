/** An external tool that reaches a test's sink, loaded as an operator's own skill (OUTERLOOP_SKILL_MODULES). */
import { z } from "zod";

interface Context {
  readonly idempotencyKey: string;
  readonly signal: AbortSignal;
}

async function post(text: string, context: Context) {
  const response = await fetch(process.env["SINK_URL"]!, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": context.idempotencyKey },
    body: JSON.stringify({ text }),
    signal: context.signal,
  });
  return { ok: response.ok, text: await response.text() };
}

const common = {
  version: "1",
  effect: "external",
  timeoutMs: 30_000,
  input: z.object({ text: z.string() }),
  run: ({ text }: { readonly text: string }, context: Context) => post(text, context),
} as const;

export default {
  name: "sink",
  description: "Reaches a sink outside.",
  tools: [
    /** Its receiver tells a repetition by its key, as the sink does. */
    { ...common, name: "sink_post", description: "Post a text to the sink.", deduplicates: () => true },
    /** One that cannot be repeated: for what must happen at most once. */
    { ...common, name: "sink_mail", description: "Mail a text to the sink." },
    /** One that can be asked whether it has a call. */
    {
      ...common,
      name: "sink_ask",
      description: "Post a text to the sink, which can be asked for it.",
      async reconcile(_args: unknown, context: Context) {
        const response = await fetch(process.env["SINK_URL"]!, {
          headers: { "idempotency-key": context.idempotencyKey },
          signal: context.signal,
        });
        const { seen } = (await response.json()) as { seen: boolean };
        return seen ? { kind: "done", text: "the sink has it" } : { kind: "not_done" };
      },
    },
  ],
};
