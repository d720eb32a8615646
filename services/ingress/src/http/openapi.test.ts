import { afterAll, beforeAll, expect, test } from "vitest";
import { openHouse, type House } from "../testing/house.ts";

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly required: boolean;
    readonly schema: unknown;
  }[];
  readonly requestBody?: {
    readonly content: Readonly<
      Record<
        string,
        {
          readonly schema: {
            readonly properties: Readonly<Record<string, unknown>>;
            readonly required?: readonly string[];
          };
        }
      >
    >;
  };
  readonly responses: Readonly<Record<string, unknown>>;
  /** What differs from the description's own. */
  readonly security?: unknown;
}
interface Description {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

let house: House;
let description: Description;
beforeAll(async () => {
  house = await openHouse();
  description = (await (await house.call("/openapi.json", { key: null })).json()) as Description;
});
afterAll(() => house[Symbol.asyncDispose]());

const operations = () =>
  Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

test("every call on goals and steps is described", () => {
  expect(
    operations()
      .map(({ path, method }) => `${method} ${path}`)
      .toSorted(),
  ).toEqual(
    [
      "post /v1/goals",
      "post /v1/goals/{id}/answer",
      "get /v1/goals",
      "get /v1/goals/{id}",
      "get /v1/goals/{id}/events",
      "get /v1/goals/{id}/steps",
      "get /v1/goals/{id}/recording",
      "get /v1/goals/{id}/artifacts",
      "get /v1/goals/{id}/artifacts/{path}",
      "post /v1/goals/{id}/cancel",
      "post /v1/goals/{id}/retry",
      "get /v1/budget",
      "put /v1/budget",
      "post /v1/goals/{id}/pause",
      "post /v1/goals/{id}/resume",
      "post /v1/goals/{id}/signals",
      "get /v1/steps/{id}",
      "get /v1/goals/{id}/usage",
      "put /v1/goals/{id}/models",
      "get /v1/models",
      "post /v1/models/tests",
      "get /v1/models/tests/{id}",
      "get /v1/usage",
      "post /v1/models/release",
      "get /v1/approvals",
      "get /v1/approvals/{id}",
      "post /v1/approvals/{id}",
      "post /v1/triggers/webhooks/{source}",
    ].toSorted(),
  );
});

test("every call that is described is there", async () => {
  for (const { path, method } of operations()) {
    const response = await house.call(path.replaceAll(/\{\w+\}/g, "x"), { method: method.toUpperCase(), key: null });
    expect([path, response.status]).toEqual([path, 401]);
  }
});

test("a key is asked for everywhere but where the request proves itself", () => {
  const open = operations().filter(({ operation }) => operation.security !== undefined);
  expect(open.map(({ path, operation }) => [path, operation.security])).toEqual([
    ["/v1/triggers/webhooks/{source}", []],
  ]);
});

test("every reference leads somewhere, and operation ids are unique", () => {
  for (const [, name] of JSON.stringify(description).matchAll(/"#\/components\/schemas\/(\w+)"/g))
    expect(description.components.schemas).toHaveProperty(name!);
  // Which no schema refers to, since a stream has several.
  expect(description.components.schemas).toHaveProperty("ModelDelta.properties.offset");
  const ids = operations().map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
});

test("every path parameter is declared, and every call tells its problems", () => {
  for (const { path, operation } of operations()) {
    const declared = operation.parameters
      .filter((parameter) => parameter.in === "path")
      .map((parameter) => parameter.name);
    expect(declared).toEqual([...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
    expect(operation.responses).toHaveProperty("default");
  }
});

test("what it says of a new goal is what is checked", () => {
  const post = description.paths["/v1/goals"]!["post"]!;
  expect(Object.keys(post.requestBody!.content)).toEqual(["application/json", "multipart/form-data"]);
  const { schema } = post.requestBody!.content["application/json"]!;
  expect(schema.required).toEqual(["text"]);
  expect(schema).toMatchObject({
    additionalProperties: false,
    properties: {
      text: { type: "string", minLength: 1, maxLength: 100_000 },
      priority: { type: "integer", minimum: -100, maximum: 100 },
      attachments: { maxItems: 2000 },
    },
  });
  expect(post.parameters.map((parameter) => parameter.name)).toEqual(["Idempotency-Key"]);
  expect(description.paths["/v1/goals"]!["get"]!.parameters).toContainEqual({
    name: "limit",
    in: "query",
    required: false,
    schema: expect.objectContaining({ type: "integer", minimum: 1, maximum: 100 }),
  });
});
