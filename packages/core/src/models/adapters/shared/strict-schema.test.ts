import { expect, test } from "vitest";
import { outputSpecs } from "../../../domain/plan.ts";
import { isStrictSchema } from "./strict-schema.ts";

const closed = { type: "object", additionalProperties: false } as const;
const text = { type: "string" } as const;

test("the schemas that models are shown are strict", () => {
  for (const { schema } of Object.values(outputSpecs)) expect(isStrictSchema(schema)).toBe(true);
});

test.each([
  ["no properties", closed, true],
  ["all required", { ...closed, properties: { a: text }, required: ["a"] }, true],
  ["nullable", { ...closed, properties: { a: { type: ["string", "null"] } }, required: ["a"] }, true],
  ["optional property", { ...closed, properties: { a: text, b: text }, required: ["a"] }, false],
  ["open", { type: "object", properties: { a: text }, required: ["a"] }, false],
  ["bounds", { ...closed, properties: { a: { ...text, maxLength: 3 } }, required: ["a"] }, false],
  [
    "open inside a list",
    { ...closed, properties: { a: { type: "array", items: { type: "object" } } }, required: ["a"] },
    false,
  ],
  ["list of anything", { ...closed, properties: { a: { type: "array" } }, required: ["a"] }, false],
  ["not an object", text, false],
])("%s", (_title, schema, strict) => {
  expect(isStrictSchema(schema)).toBe(strict);
});
