/**
 * A route is a contract (what goes in, what comes out, who may ask) and a handler. Requests are checked against the
 * contract before the handler sees them, in this order: who asks, where, with what. `/openapi.json` is made from the same
 * contracts, so it cannot say anything else.
 */
import type { Principal, Role } from "@outerloop/core";
import type { Context, Hono } from "hono";
import type { z } from "zod";
import type { Access } from "../access/access.ts";
import type { RequestState } from "../parts.ts";
import { parseJson, readBytes, requireJson } from "./body.ts";
import { toRefusal } from "./field-errors.ts";
import { invalid, Refusal } from "./problem.ts";

export interface Answer {
  readonly description: string;
  /** JSON of this schema, by its name in `components.schemas`; without it, see `content`. */
  readonly schema?: readonly [name: string, schema: z.ZodType];
  readonly content?: string;
  /** Another that the description names. */
  readonly also?: readonly [name: string, schema: z.ZodType];
}

export interface BodyContract<Body> {
  readonly schema: z.ZodType<Body>;
  readonly required: boolean;
  readonly maxBytes: number;
  /** Reads other media types than JSON into the same shape; undefined for those it does not know. */
  readonly readOther?: { readonly type: string; read(request: Request, maxBytes: number): Promise<unknown> };
}

export interface Contract<Query, Headers, Body> {
  readonly method: "get" | "post" | "put";
  /** As OpenAPI writes it; a parameter named `path` takes the rest of the path. */
  readonly path: string;
  readonly name: string;
  readonly summary: string;
  readonly role: Role;
  readonly query?: z.ZodType<Query>;
  readonly headers?: z.ZodType<Headers>;
  readonly body?: BodyContract<Body>;
  readonly answers: Readonly<Record<number, Answer>>;
}

export interface Call<Query, Headers, Body> {
  readonly principal: Principal;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly headers: Headers;
  readonly body: Body;
  readonly request: Request;
}

export interface Route<Query = never, Headers = never, Body = never> {
  readonly contract: Contract<Query, Headers, Body>;
  readonly handle: (call: Call<Query, Headers, Body>) => Promise<Response>;
}

/** Routes of every shape in one list: what they have in common. */
export type AnyRoute = Route<any, any, any>;

export function defineRoute<Query = undefined, Headers = undefined, Body = undefined>(
  contract: Contract<Query, Headers, Body>,
  handle: Route<Query, Headers, Body>["handle"],
): AnyRoute {
  return { contract, handle };
}

/** Where Hono finds it. */
export function honoPath(path: string): string {
  return path.replaceAll("{path}", ":path{.+}").replaceAll(/\{(\w+)\}/g, ":$1");
}

export function mountRoutes(app: Hono<RequestState>, access: Access, routes: readonly AnyRoute[]): void {
  for (const route of routes)
    app.on(route.contract.method.toUpperCase(), honoPath(route.contract.path), (c) => serve(c, access, route));
  for (const path of new Set(routes.map((route) => route.contract.path))) {
    const methods = routes
      .filter((route) => route.contract.path === path)
      .map((route) => route.contract.method.toUpperCase());
    refuseOtherMethods(app, honoPath(path), methods);
  }
}

/** To be called after the methods that there are. */
export function refuseOtherMethods(app: Hono<RequestState>, path: string, methods: readonly string[]): void {
  const allow = [...new Set(methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])))].join(", ");
  app.all(path, (c) => {
    c.set("route", path);
    throw new Refusal("method_not_allowed", `${c.req.method} is not allowed here; allowed: ${allow}.`, {
      headers: { allow },
    });
  });
}

async function serve(c: Context<RequestState>, access: Access, { contract, handle }: AnyRoute): Promise<Response> {
  c.set("route", contract.path);
  const principal = await access.require(c.req.raw, contract.role);
  c.set("principal", principal);
  return handle({
    principal,
    params: c.req.param(),
    query: contract.query === undefined ? requireNone(c.req.raw) : check(contract.query, readQuery(c.req.raw)),
    headers: contract.headers === undefined ? undefined : check(contract.headers, c.req.header()),
    body:
      contract.body === undefined ? undefined : check(contract.body.schema, await readBody(c.req.raw, contract.body)),
    request: c.req.raw,
  });
}

function check<Value>(schema: z.ZodType<Value>, value: unknown): Value {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw toRefusal(parsed.error);
  return parsed.data;
}

function readQuery(request: Request): Record<string, string> {
  const given = new URL(request.url).searchParams;
  for (const name of new Set(given.keys())) if (given.getAll(name).length > 1) throw invalid(name, "may be given once");
  return Object.fromEntries(given);
}

function requireNone(request: Request): undefined {
  const [name] = Object.keys(readQuery(request));
  if (name !== undefined) throw invalid(name.slice(0, 100), "is not a known parameter");
  return undefined;
}

async function readBody(request: Request, body: BodyContract<unknown>): Promise<unknown> {
  const type = (request.headers.get("content-type") ?? "").toLowerCase();
  if (body.readOther !== undefined && type.startsWith(body.readOther.type))
    return body.readOther.read(request, body.maxBytes);
  if (!body.required && type === "") {
    const bytes = await readBytes(request, body.maxBytes);
    return bytes.length === 0 ? {} : parseJson(bytes);
  }
  requireJson(request);
  const bytes = await readBytes(request, body.maxBytes);
  return bytes.length === 0 && !body.required ? {} : parseJson(bytes);
}

export function json(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  });
}
