import { toFile, type OpenAI } from "openai";
import { OuterloopError } from "../../../domain/errors.ts";
import type { TranscribeRequest, TranscribeResponse } from "../../provider.ts";
import { contextOf, timeoutsOf, type Connection } from "../shared/connection.ts";
import { liveCall } from "../shared/live-call.ts";

/** The API's limit on a file: https://developers.openai.com/api/docs/guides/speech-to-text */
export const mostAudioBytes = 25 * 1024 * 1024;

/** The API tells formats by the file's name. */
const extensions: Readonly<Record<string, string>> = {
  "audio/flac": "flac",
  "audio/x-flac": "flac",
  "audio/m4a": "m4a",
  "audio/x-m4a": "m4a",
  "audio/mp3": "mp3",
  "audio/mpeg": "mp3",
  "audio/mp4": "mp4",
  "video/mp4": "mp4",
  "audio/ogg": "ogg",
  "audio/opus": "ogg",
  "audio/wav": "wav",
  "audio/wave": "wav",
  "audio/x-wav": "wav",
  "audio/webm": "webm",
  "video/webm": "webm",
};

/** Throws `too_large` and `unsupported` before anything is sent, and what `generate` throws. */
export async function transcribe(
  client: OpenAI,
  connection: Connection,
  model: string,
  { audio, mediaType, language }: TranscribeRequest,
  signal: AbortSignal,
): Promise<TranscribeResponse> {
  const where = `${connection.name}/${model}`;
  if (audio.byteLength > mostAudioBytes)
    throw new OuterloopError(
      "too_large",
      `${where}: audio of ${audio.byteLength} bytes; at most ${mostAudioBytes} (25 MB) can be transcribed, cut it or compress it`,
    );
  // Parameters, as in `audio/webm;codecs=opus`, do not change the file's format.
  const type = mediaType.split(";", 1)[0]!.trim().toLowerCase();
  const extension = extensions[type];
  if (!extension)
    throw new OuterloopError(
      "unsupported",
      `${where}: cannot transcribe ${type}; it takes flac, m4a, mp3, mp4, ogg, wav and webm`,
    );
  return liveCall(contextOf(connection, where), timeoutsOf(connection), { signal }, async (live) => {
    const file = await toFile(audio, `audio.${extension}`, { type });
    const { text, usage } = await client.audio.transcriptions.create(
      { model, file, response_format: "json", ...(language && { language }) },
      { signal: live.signal },
    );
    return {
      text,
      seconds: usage?.type === "duration" ? usage.seconds : null,
      inputTokens: usage?.type === "tokens" ? usage.input_tokens : 0,
      outputTokens: usage?.type === "tokens" ? usage.output_tokens : 0,
    };
  });
}
