/** Structured output of providers that cannot be held to a schema: it is told to the model, and what comes back is only checked. */
import type { ModelRequest } from "../../../domain/model.ts";

/** The request with its schema in the system prompt; unchanged where it wants prose. */
export function withPromptedSchema(request: ModelRequest): ModelRequest {
  if (!request.output) return request;
  const { name, schema } = request.output;
  const told = `Answer with one JSON object, the ${name}, and nothing else: no prose, no code fence. It fits this JSON schema:\n${JSON.stringify(schema)}`;
  return { ...request, system: request.system ? `${request.system}\n\n${told}` : told };
}

/** What a prompt made by `withPromptedSchema` asks for. */
export function promptedOutput(prompt: string): string | undefined {
  return /^Answer with one JSON object, the (\w+), and nothing else:/m.exec(prompt)?.[1];
}
