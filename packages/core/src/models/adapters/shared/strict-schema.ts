/**
 * Whether a JSON schema may be sent as strict, so that the provider constrains decoding to it. Strict wants every
 * property required and none additional, and knows few keywords; what OpenAI and Anthropic both take is taken here.
 * Sources: OpenAI's and Anthropic's structured output guides.
 */
import type { JsonObject, JsonValue } from "../../../domain/json.ts";

const knownKeywords = new Set([
  "type",
  "properties",
  "required",
  "additionalProperties",
  "items",
  "enum",
  "const",
  "anyOf",
  "description",
  "title",
]);

export function isStrictSchema(schema: JsonObject): boolean {
  return schema["type"] === "object" && isStrictNode(schema);
}

function isStrictNode(node: JsonValue | undefined): boolean {
  if (!isObject(node)) return false;
  if (Object.keys(node).some((keyword) => !knownKeywords.has(keyword))) return false;
  if (node["anyOf"] !== undefined) return Array.isArray(node["anyOf"]) && node["anyOf"].every(isStrictNode);
  if (node["enum"] !== undefined || node["const"] !== undefined) return true;
  if (node["items"] !== undefined) return isStrictNode(node["items"]);
  if (node["type"] !== "object") return node["type"] !== undefined && node["type"] !== "array";
  const properties = node["properties"] ?? {};
  const required = node["required"] ?? [];
  return (
    node["additionalProperties"] === false &&
    isObject(properties) &&
    Array.isArray(required) &&
    Object.keys(properties).every((name) => required.includes(name)) &&
    Object.values(properties).every(isStrictNode)
  );
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
