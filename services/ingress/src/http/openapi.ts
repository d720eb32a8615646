/** The API's description, made from the contracts that check every request. */
import { problemSchema, type Role } from "@outerloop/core";
import { z } from "zod";
import { version } from "../version.ts";
import type { Answer, Contract } from "./route.ts";

type JsonSchema = Record<string, unknown>;

/** A call's contract; `signature` where the request proves itself and nobody's key is asked for. */
export interface Described {
  readonly contract: Omit<Contract<any, any, any>, "role"> & { readonly role: Role | "signature" };
}

export function describeApi(routes: readonly Described[]): JsonSchema {
  const schemas = new Map<string, JsonSchema>([["Problem", toJsonSchema(problemSchema)]]);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { contract } of routes) {
    for (const { schema, also } of Object.values(contract.answers))
      for (const named of [schema, also]) if (named !== undefined) schemas.set(named[0], toJsonSchema(named[1]));
    const body = contract.body;
    (paths[contract.path] ??= {})[contract.method] = {
      operationId: contract.name,
      summary: contract.summary,
      ...(contract.role === "signature" ? { security: [] } : { "x-role": contract.role }),
      parameters: [
        ...pathParameters(contract.path),
        ...parameters("query", contract.query),
        ...parameters("header", contract.headers),
      ],
      ...(body === undefined
        ? {}
        : { requestBody: { required: body.required, content: bodyContent(body.schema, body.readOther?.type) } }),
      responses: {
        ...Object.fromEntries(
          Object.entries(contract.answers).map(([status, answer]) => [status, describeAnswer(answer)]),
        ),
        default: problem,
      },
    };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Outerloop",
      version,
      description:
        "Goals in, checked answers out. Errors are problem documents (RFC 9457); lists go on with `next_cursor`.",
    },
    security: [{ key: [] }],
    paths,
    components: { securitySchemes: { key: { type: "http", scheme: "bearer" } }, schemas: Object.fromEntries(schemas) },
  };
}

const problem = {
  description: "A problem document.",
  content: { "application/problem+json": { schema: reference("Problem") } },
};

function describeAnswer(answer: Answer): JsonSchema {
  const type = answer.content ?? (answer.schema === undefined ? undefined : "application/json");
  if (type === undefined) return { description: answer.description };
  return {
    description: answer.description,
    content: { [type]: answer.schema === undefined ? {} : { schema: reference(answer.schema[0]) } },
  };
}

function bodyContent(schema: z.ZodType, other: string | undefined): JsonSchema {
  const body = toJsonSchema(schema);
  const form = {
    type: "object",
    properties: { goal: body, files: { type: "array", items: { type: "string", format: "binary" } } },
    required: ["goal"],
  };
  return { "application/json": { schema: body }, ...(other === undefined ? {} : { [other]: { schema: form } }) };
}

function pathParameters(path: string): JsonSchema[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function parameters(place: "query" | "header", schema: z.ZodType | undefined): JsonSchema[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = toJsonSchema(schema) as {
    properties?: Record<string, JsonSchema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, of]) => ({
    name: place === "header" ? headerName(name) : name,
    in: place,
    required: required.includes(name),
    schema: of,
  }));
}

/** `last-event-id` → `Last-Event-ID`. */
function headerName(name: string): string {
  return name.replaceAll(/(^|-)(id$|[a-z])/g, (match) => match.toUpperCase());
}

function reference(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** As clients send and receive it; what only code can check is told by the answer to a bad request. */
function toJsonSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    reused: "inline",
  });
  return rest;
}
