/** What the scripted server answers beside models' turns, by rule instead of by script: embeddings and transcriptions of OpenAI's API. */
import type { IncomingMessage } from "node:http";
import { buffer, text as readText } from "node:stream/consumers";
import type { ScriptedError } from "./wire.ts";

export interface SideOptions {
  /** The length of the vectors of `POST /v1/embeddings`; they are filled with the text's length. */
  readonly dimensions?: number;
  /** Who makes the vectors instead. */
  readonly embed?: (request: EmbeddingsRequest) => readonly (readonly number[])[] | Unanswered;
  /** How `POST /v1/audio/transcriptions` bills; by tokens unless this says otherwise. */
  readonly billedBy?: "tokens" | "duration";
  /** Answers both instead. */
  readonly sideError?: ScriptedError["error"];
}

export interface EmbeddingsRequest {
  readonly model: string;
  readonly texts: readonly string[];
}

/** Nothing at all, or an error of this status. */
type Unanswered = "hang" | { readonly status: number };

interface SideAnswer {
  readonly path: RegExp;
  answer(
    request: IncomingMessage,
    options: SideOptions,
    embedded: (request: EmbeddingsRequest) => void,
  ): Promise<{ readonly body: object } | Unanswered>;
}

/** A token for every four characters or part of them. */
const embeddings: SideAnswer["answer"] = async (request, { dimensions = 4, embed }, embedded) => {
  const { model, input } = JSON.parse(await readText(request)) as { model: string; input: readonly string[] };
  embedded({ model, texts: input });
  const vectors = embed?.({ model, texts: input }) ?? input.map((text) => Array<number>(dimensions).fill(text.length));
  if (vectors === "hang" || "status" in vectors) return vectors;
  const data = vectors.map((embedding, index) => ({ object: "embedding", index, embedding }));
  const tokens = input.reduce((sum, text) => sum + Math.ceil(text.length / 4), 0);
  return { body: { object: "list", model, data, usage: { prompt_tokens: tokens, total_tokens: tokens } } };
};

/** Says what it was sent: `model file-name type bytes language`. A second is 1,000 bytes, a token 100. */
const transcription: SideAnswer["answer"] = async (request, { billedBy = "tokens" }) => {
  const headers = { "content-type": request.headers["content-type"] ?? "" };
  const form = await new Response(await buffer(request), { headers }).formData();
  const file = form.get("file") as File;
  const field = (name: string) => form.get(name) as string | null;
  const said = `${field("model")} ${file.name} ${file.type} ${file.size} ${field("language") ?? "any"}`;
  const tokens = Math.ceil(file.size / 100);
  const usage =
    billedBy === "duration"
      ? { type: "duration", seconds: file.size / 1000 }
      : { type: "tokens", input_tokens: tokens, output_tokens: 5, total_tokens: tokens + 5 };
  return { body: { text: said, usage } };
};

export const sideAnswers: readonly SideAnswer[] = [
  { path: /\/embeddings$/, answer: embeddings },
  { path: /\/audio\/transcriptions$/, answer: transcription },
];
