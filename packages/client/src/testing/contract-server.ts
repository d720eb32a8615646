/**
 * A local server that speaks the API of DESIGN §8 from data in memory, with faults on request: for tests of the client
 * and of the command line, which are to meet a real socket.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text as readText } from "node:stream/consumers";
import {
  endsStream,
  type ArtifactResource,
  type EventResource,
  type GoalResource,
  type GoalUsageResource,
  type ModelsResource,
  type ModelTestResource,
  type Problem,
  type ShownStepResource,
  type StepResource,
  type TenantBudgetResource,
  type TenantLimitsRequest,
  type TenantUsageResource,
} from "@outerloop/core/domain";

export interface KeptGoal {
  goal: GoalResource;
  readonly events: EventResource[];
  readonly steps?: readonly StepResource[];
  readonly shown?: readonly ShownStepResource[];
  readonly files?: readonly { readonly info: ArtifactResource; readonly bytes: Uint8Array }[];
}

/** What one event stream does; without one it sends all that is asked for, and ends where the goal has. */
export interface StreamScript {
  /** Sends these, by number, instead of what is asked for. */
  readonly send?: readonly number[];
  /** Sent as it is, first. */
  readonly raw?: string;
  /** Then: cut the connection, close it in good order, or leave it open. */
  readonly then: "cut" | "close" | "hang";
}

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A fault instead of an answer: the connection is cut, or this problem is sent. */
export type Fault =
  | "cut"
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string };

export interface ContractServer {
  readonly url: string;
  readonly apiKey: string;
  readonly instance: string;
  readonly goals: KeptGoal[];
  readonly received: readonly Received[];
  /** Taken one a stream, in order. */
  readonly streams: StreamScript[];
  /** Whether its streams know `deltas`; those of an earlier release refuse it. */
  knowsDeltas: boolean;
  /** Taken one a request that is no stream and no health check, in order; null answers as usual. */
  readonly faults: (Fault | null)[];
  /** What GET /v1/budget tells; PUT sets its limits. */
  budget: TenantBudgetResource;
  /** What GET /v1/models tells. */
  models: ModelsResource;
  /** What tests of all routes find, and how often somebody looks before it is there. */
  modelTest: { readonly results: ModelTestResource["results"]; readonly looks: number };
  /** Of every goal, and of its tenant. */
  usage: { readonly goal: GoalUsageResource; readonly tenant: TenantUsageResource };
  /** What POST /v1/goals makes of a request. */
  onCreate: (body: Record<string, unknown>) => KeptGoal;
  /** Resolves with the next request of this kind, or one that came already. */
  heard(method: string, path: RegExp): Promise<Received>;
  /** Answers nothing on these paths until the returned function is called. */
  slowDown(path: RegExp): () => void;
  /** Resolves when a stream is open that sends nothing more. */
  hanging(): Promise<void>;
  close(): Promise<void>;
}

export async function startContractServer(goals: KeptGoal[] = []): Promise<ContractServer> {
  const received: Received[] = [];
  const streams: StreamScript[] = [];
  const faults: (Fault | null)[] = [];
  const listeners = new Set<() => void>();
  const held = new Set<{ readonly path: RegExp; readonly until: Promise<void> }>();
  let openStreams = 0;
  const changed = () => listeners.forEach((listener) => listener());
  const until = async <Found>(look: () => Found | undefined): Promise<Found> =>
    new Promise((resolve) => {
      const check = () => {
        const found = look();
        if (found === undefined) return;
        listeners.delete(check);
        resolve(found);
      };
      listeners.add(check);
      check();
    });

  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) =>
      response.destroy(error instanceof Error ? error : undefined),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  const kept: ContractServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    apiKey: "ol_test_key",
    instance: "instance-1",
    goals,
    received,
    streams,
    knowsDeltas: true,
    faults,
    budget: withLimits({}),
    models: { views: [], held: [], used: [] },
    modelTest: { results: [], looks: 0 },
    usage: {
      goal: { total: noUsage, rows: [] },
      tenant: { from: "2026-11-01", to: "2026-11-22", total: noUsage, rows: [] },
    },
    onCreate: () => {
      const [first] = goals;
      if (first === undefined) throw new Error("no goal to answer with");
      return first;
    },
    heard: (method, path) => until(() => received.find((each) => each.method === method && path.test(each.path))),
    slowDown(path) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const hold = { path, until: promise };
      held.add(hold);
      return () => {
        held.delete(hold);
        resolve();
      };
    },
    hanging: async () => void (await until(() => (openStreams > 0 ? true : undefined))),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", kept.url);
    const body = await readText(request);
    received.push({
      method: request.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body,
    });
    changed();
    for (const hold of held) if (hold.path.test(url.pathname)) await hold.until;
    if (url.pathname === "/healthz")
      return sendJson(response, 200, { status: "ok", instance: kept.instance, version: "0.0.0" });
    if (request.headers.authorization !== `Bearer ${kept.apiKey}`)
      return problem(response, 401, "unauthorized", "This key is not known.");
    const [, id = "", rest = ""] = /^\/v1\/goals\/([^/]+)(\/.*)?$/.exec(url.pathname) ?? [];
    if (rest === "/events" && url.searchParams.has("deltas") && !kept.knowsDeltas)
      return problem(response, 400, "invalid_input", "deltas: is not a known parameter");
    if (rest === "/events") return stream(request, response, id);

    const fault = faults.shift() ?? null;
    if (fault === "cut") return void response.destroy();
    if (fault !== null) {
      response.writeHead(fault.status, { "content-type": "text/plain", ...fault.headers });
      return void response.end(fault.body ?? "");
    }
    route(request.method ?? "", url, id, decodeURIComponent(rest), body, response);
  }

  function find(id: string): KeptGoal | undefined {
    const found = goals.filter((each) => each.goal.id.startsWith(id));
    return found.length === 1 ? found[0] : goals.find((each) => each.goal.id === id);
  }

  function route(method: string, url: URL, id: string, rest: string, body: string, response: ServerResponse): void {
    if (url.pathname === "/v1/budget") {
      if (method === "PUT") kept.budget = withLimits(JSON.parse(body) as TenantLimitsRequest);
      return sendJson(response, 200, kept.budget);
    }
    if (url.pathname === "/v1/models") return sendJson(response, 200, kept.models);
    if (url.pathname.startsWith("/v1/models/tests")) return modelTest(method, response);
    if (url.pathname === "/v1/usage") return sendJson(response, 200, kept.usage.tenant);
    if (url.pathname === "/v1/goals") return method === "POST" ? create(body, response) : list(url, response);
    const step = /^\/v1\/steps\/(.+)$/.exec(url.pathname)?.[1];
    if (step !== undefined) {
      const shown = goals.flatMap((each) => each.shown ?? []).find((each) => each.id === decodeURIComponent(step));
      return shown === undefined
        ? problem(response, 404, "not_found", `There is no step ${step}.`)
        : sendJson(response, 200, shown);
    }
    const found = find(id);
    if (found === undefined) return problem(response, 404, "not_found", `There is no goal ${id}.`);
    if (rest === "") return sendJson(response, 200, found.goal);
    if (rest === "/steps") return sendJson(response, 200, { items: found.steps ?? [], next_cursor: null });
    if (rest === "/artifacts")
      return sendJson(response, 200, { items: (found.files ?? []).map((file) => file.info), next_cursor: null });
    const file = found.files?.find((each) => `/artifacts/${each.info.path}` === rest);
    if (file !== undefined)
      return void response.writeHead(200, { "content-type": "application/octet-stream" }).end(file.bytes);
    if (rest === "/usage") return sendJson(response, 200, kept.usage.goal);
    if (rest === "/models") {
      found.goal = { ...found.goal, models: (JSON.parse(body) as { models: GoalResource["models"] }).models };
      return sendJson(response, 200, found.goal);
    }
    if (rest === "/retry") return sendJson(response, 200, { goal: found.goal, plan: true, tasks: ["t1", "t2"] });
    const status = ({ "/pause": "paused", "/resume": "running", "/cancel": "cancelled" } as const)[rest];
    if (status === undefined) return problem(response, 404, "not_found", "There is nothing here.");
    const { budget } = (body === "" ? {} : JSON.parse(body)) as { budget?: Partial<GoalResource["budget"]> };
    if (rest === "/resume" && budget !== undefined) {
      found.goal = { ...found.goal, status, ended_at: null, budget: { ...found.goal.budget, ...budget } };
      return sendJson(response, 200, found.goal);
    }
    if (found.goal.ended_at !== null)
      return problem(response, 409, "conflict", `goal ${found.goal.id} has already ${found.goal.status}.`);
    found.goal = { ...found.goal, status };
    sendJson(response, 200, found.goal);
  }

  function modelTest(method: string, response: ServerResponse): void {
    const { looks, results } = kept.modelTest;
    const test = { id: "mt_1", asked_at: "2026-11-22T12:00:00.000Z" };
    if (method === "POST") return sendJson(response, 202, { ...test, results: null });
    kept.modelTest = { looks: looks - 1, results };
    sendJson(response, 200, { ...test, results: looks > 0 ? null : results });
  }

  function create(body: string, response: ServerResponse): void {
    const made = kept.onCreate(JSON.parse(body) as Record<string, unknown>);
    if (!goals.includes(made)) goals.push(made);
    sendJson(response, 202, { ...made.goal, status: "queued" });
  }

  function list(url: URL, response: ServerResponse): void {
    const limit = Number(url.searchParams.get("limit") ?? 50);
    const status = url.searchParams.get("status");
    const matching = goals.filter((each) => status === null || each.goal.status === status);
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const page = matching.slice(from, from + limit);
    sendJson(response, 200, {
      items: page.map((each) => each.goal),
      next_cursor: from + limit < matching.length ? String(from + limit) : null,
    });
  }

  function stream(request: IncomingMessage, response: ServerResponse, id: string): void {
    const found = find(id);
    if (found === undefined) return problem(response, 404, "not_found", `There is no goal ${id}.`);
    const after = Number(request.headers["last-event-id"] ?? 0);
    const script = streams.shift();
    const last = found.events.at(-1);
    const hasEnded = last !== undefined && endsStream(last.type);
    if (script === undefined && hasEnded && after >= last.seq) return void response.writeHead(204).end();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("retry: 10\n\n");
    if (script?.raw !== undefined) response.write(script.raw);
    const events =
      script?.send === undefined
        ? found.events.filter((event) => event.seq > after)
        : script.send.flatMap((seq) => found.events.find((event) => event.seq === seq) ?? []);
    for (const event of script?.raw === undefined || script.send !== undefined ? events : [])
      response.write(formatEvent(event));
    const then = script?.then ?? (hasEnded ? "close" : "hang");
    if (then === "close") response.end();
    // What was written must arrive before the cut does.
    else if (then === "cut") response.write(": about to break\n", () => response.destroy());
    else {
      openStreams += 1;
      response.on("close", () => (openStreams -= 1));
      response.write(": quiet\n\n", changed);
    }
  }

  return kept;
}

const noUsage: GoalUsageResource["total"] = {
  calls: 0,
  input_tokens: 0,
  cached_input_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  usd: 0,
  unpriced_calls: 0,
  ms: 0,
  first_token_ms: null,
};

/** Limits as they were set, of which something was used. */
function withLimits(request: TenantLimitsRequest): TenantBudgetResource {
  const of = (period: keyof TenantLimitsRequest) => {
    const limits = request[period];
    if (limits === undefined) return null;
    return {
      limits: { steps: limits.steps ?? null, tokens: limits.tokens ?? null, usd: limits.usd ?? null },
      used: { steps: 41, tokens: 1234, usd: 0.5 },
      held: { steps: 20, tokens: 0, usd: 0 },
      until: null,
    };
  };
  return { day: of("day"), month: of("month"), total: of("total") };
}

export function formatEvent(event: EventResource): string {
  return `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function problem(response: ServerResponse, status: number, code: string, detail: string): void {
  const body: Problem = { type: `urn:outerloop:problem:${code}`, title: code, status, detail, code };
  response.writeHead(status, { "content-type": "application/problem+json" }).end(JSON.stringify(body));
}
