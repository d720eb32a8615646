/** Bull Board at `/queues`, over either queue backend. A viewer's board has no buttons; an operator's retry only wakes (W7). */
import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { HonoAdapter } from "@bull-board/hono";
import { mayActAs, queueNames, type QueueBackend } from "@outerloop/core";
import { serveStatic } from "@hono/node-server/serve-static";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Access } from "../access/access.ts";
import { Refusal } from "../http/problem.ts";
import type { RequestState } from "../parts.ts";

const basePath = "/queues";
const maxBytes = 1024 * 1024;
/** Bull Board styles itself inline and runs only its own files. */
const contentSecurityPolicy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";

export function mountQueueBoard(app: Hono<RequestState>, queue: QueueBackend, access: Access): void {
  const boards = { full: createBoard(queue, false), readOnly: createBoard(queue, true) };
  app.use(`${basePath}/*`, async (c, next) => {
    c.set("route", `${basePath}/*`);
    const reads = c.req.method === "GET" || c.req.method === "HEAD";
    const principal = await access
      .requireOperator(c.req.raw, reads ? "viewer" : "operator")
      .catch((thrown: unknown) => {
        if (thrown instanceof Refusal && thrown.code === "unauthorized" && reads && acceptsHtml(c.req.raw))
          return undefined;
        throw thrown;
      });
    if (principal === undefined) return c.redirect(`/login?next=${encodeURIComponent(c.req.path)}`, 303);
    c.set("principal", principal);
    await next();
    c.header("content-security-policy", contentSecurityPolicy);
    c.header("cache-control", "no-store");
  });
  app.use(
    `${basePath}/*`,
    bodyLimit({
      maxSize: maxBytes,
      onError: () => {
        throw new Refusal("too_large", `body: at most ${maxBytes} bytes`);
      },
    }),
  );
  app.all(`${basePath}/*`, async (c) => {
    const board = mayActAs(c.get("principal"), "operator") ? boards.full : boards.readOnly;
    const response = await board.fetch(c.req.raw);
    return response.headers.get("content-type")?.startsWith("text/html") ? withoutForeignLinks(response) : response;
  });
}

function createBoard(queue: QueueBackend, readOnlyMode: boolean): Hono {
  const adapter = new HonoAdapter(serveStatic);
  adapter.setBasePath(basePath);
  createBullBoard({
    queues: queueNames.map((name) => new BullMQAdapter(queue.queues[name], { readOnlyMode })),
    serverAdapter: adapter,
    options: {
      uiConfig: {
        boardTitle: "Outerloop",
        hideDocsLink: true,
        hideRedisDetails: queue.kind !== "redis",
        showWorkers: queue.kind === "redis",
      },
    },
  });
  return new Hono().route(basePath, adapter.registerPlugin());
}

/** Its page asks a font server for fonts: nobody else needs to know that somebody looks at the queues. */
async function withoutForeignLinks(response: Response): Promise<Response> {
  const html = (await response.text()).replaceAll(/<link[^>]+href="https?:\/\/[^>]*>/g, "");
  return new Response(html, { status: response.status, headers: { "content-type": "text/html; charset=utf-8" } });
}

function acceptsHtml(request: Request): boolean {
  return request.headers.get("accept")?.includes("text/html") ?? false;
}
