/** Reads a recording from a file, checked. */
import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { messageOf, OuterloopError } from "../../domain/errors.ts";
import { recordingSchema, recordingVersion, type Recording } from "../../domain/recording.ts";

/** More than ingress makes unless it is told to. */
const maxFileBytes = 512 * 1024 * 1024;
const maxProblemChars = 500;

/** @throws OuterloopError `config`, naming the file and what is wrong with it */
export function readRecording(path: string): Recording {
  const broken = (why: string) => new OuterloopError("config", `The recording ${path} ${why}`);
  const json = readJson(path, broken);
  const version = z.object({ version: z.unknown() }).safeParse(json).data?.version;
  if (version !== undefined && version !== recordingVersion)
    throw broken(`is of version ${JSON.stringify(version)}; this code reads version ${recordingVersion}.`);
  const parsed = recordingSchema.safeParse(json);
  if (!parsed.success)
    throw broken(`is damaged or no recording: ${z.prettifyError(parsed.error).slice(0, maxProblemChars)}`);
  return parsed.data as Recording;
}

function readJson(path: string, broken: (why: string) => OuterloopError): unknown {
  let text: string;
  try {
    if (statSync(path).size > maxFileBytes) throw new Error(`it is larger than ${maxFileBytes} bytes`);
    text = readFileSync(path, "utf8");
  } catch (thrown) {
    throw broken(`cannot be read: ${messageOf(thrown)}`);
  }
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw broken(`is no JSON: ${messageOf(thrown)}`);
  }
}
