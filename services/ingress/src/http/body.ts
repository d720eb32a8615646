/** Reads bodies: never more than the limit, whatever the sender says about its length. */
import { isDeeper, maxArgsDepth } from "@outerloop/core";
import { Refusal } from "./problem.ts";

/**
 * @param setting by which the limit is set, for the message
 * @throws Refusal `too_large` as soon as the limit is passed
 */
export async function readBytes(
  request: Request,
  limit: number,
  setting = "OUTERLOOP_MAX_BODY_BYTES",
): Promise<Uint8Array<ArrayBuffer>> {
  if (Number(request.headers.get("content-length") ?? 0) > limit) throw tooLarge(limit, setting);
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.length;
    if (size > limit) throw tooLarge(limit, setting);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function tooLarge(limit: number, setting: string): Refusal {
  const message = `at most ${limit} bytes (${setting})`;
  // What is still on its way is not read, so this connection can't serve another request.
  return new Refusal("too_large", `body: ${message}`, {
    fields: [{ field: "body", message }],
    headers: { connection: "close" },
  });
}

/** The media type in lower case, without parameters. */
export function mediaType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

export function requireJson(request: Request): void {
  const type = mediaType(request);
  if (type !== "application/json" && !/^application\/[\w.-]+\+json$/.test(type))
    throw new Refusal(
      "unsupported_media_type",
      `The body must be application/json${type === "" ? "; the request names no content type" : `, not ${type.slice(0, 100)}`}.`,
    );
}

export function parseJson(bytes: Uint8Array, field = "body"): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw malformed(field, "is not UTF-8");
  }
  if (text.trim() === "") throw malformed(field, "is empty; JSON was expected");
  try {
    const value: unknown = JSON.parse(text);
    // What looks at it next may recurse.
    if (isDeeper(value, maxArgsDepth + 8)) throw malformed(field, `is nested deeper than ${maxArgsDepth + 8} levels`);
    return value;
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    // Where it went wrong, without the text around it: that may be long, or secret.
    const at = /at position (\d+)/.exec(thrown instanceof Error ? thrown.message : "")?.[1];
    throw malformed(field, `is not valid JSON${at === undefined ? "" : `, from character ${at} on`}`);
  }
}

function malformed(field: string, message: string): Refusal {
  return new Refusal("invalid_input", `The ${field} ${message}.`, { fields: [{ field, message }] });
}
