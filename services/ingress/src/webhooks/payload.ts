/** What a delivery says, once it is known who sent it. */
import { mediaType, parseJson } from "../http/body.ts";
import { invalid, Refusal } from "../http/problem.ts";

export interface Payload {
  readonly value: unknown;
  /** Its JSON as it was sent. */
  readonly text: string;
}

const formType = "application/x-www-form-urlencoded";

/** JSON, or a form with the JSON in its field `payload`, which is what GitHub sends until it is told otherwise. */
export function readPayload(request: Request, body: Uint8Array): Payload {
  const type = mediaType(request);
  const isForm = type === formType;
  if (!isForm && type !== "application/json" && !/^application\/[\w.-]+\+json$/.test(type))
    throw new Refusal(
      "unsupported_media_type",
      `The body must be application/json, or ${formType} with a field payload${type === "" ? "; the request names no content type" : `, not ${type.slice(0, 100)}`}.`,
    );
  const json = isForm ? fieldOfForm(body) : body;
  const value = parseJson(json, isForm ? "payload" : "body");
  const text = new TextDecoder().decode(json);
  return { value: mayLoseDigits.test(text) ? JSON.parse(text, keepDigits) : value, text };
}

function fieldOfForm(body: Uint8Array): Uint8Array {
  const [payload, ...more] = new URLSearchParams(new TextDecoder().decode(body)).getAll("payload");
  if (payload === undefined) throw invalid("payload", "is required: the JSON, as a field of the form");
  if (more.length > 0) throw invalid("payload", "may be given once");
  return new TextEncoder().encode(payload);
}

const mayLoseDigits = /\d{16}/;

/** A number that JavaScript would round stays the text that it was: it is an id, and another one would be somebody else's. */
function keepDigits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)
    ? (context?.source ?? value)
    : value;
}
