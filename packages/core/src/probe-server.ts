/** What a worker shows of itself: whether it lives, whether its parts answer, and its own metrics. No key: it names no tenant and no goal. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { OuterloopError, messageOf } from "./domain/errors.ts";
import type { Runtime } from "./runtime.ts";
import { pingDatabase } from "./store/database.ts";

export interface ProbeServer {
  readonly port: number;
  close(): Promise<void>;
}

/** A probe that takes longer is a no. */
const probeMs = 3000;

export async function startProbeServer(
  runtime: Pick<Runtime, "db" | "queue" | "metrics">,
  host: string,
  port: number,
): Promise<ProbeServer> {
  const server = createServer((request, response) => {
    const send = (status: number, type: string, body: string) =>
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
    void answer(runtime, request.url ?? "/").then(
      ({ status, type, body }) => send(status, type, body),
      (thrown: unknown) => send(503, "text/plain", `${messageOf(thrown)}\n`),
    );
  });
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  { db, queue, metrics }: Pick<Runtime, "db" | "queue" | "metrics">,
  path: string,
): Promise<{ readonly status: number; readonly type: string; readonly body: string }> {
  switch (path) {
    case "/healthz":
      return { status: 200, type: "application/json", body: '{"status":"ok"}' };
    case "/readyz": {
      const [postgres, jobs] = await Promise.all([isUp(pingDatabase(db)), isUp(queue.ping())]);
      return {
        status: postgres && jobs ? 200 : 503,
        type: "application/json",
        body: JSON.stringify({ postgres: postgres ? "up" : "down", queue: jobs ? "up" : "down" }),
      };
    }
    case "/metrics":
      return { status: 200, type: metrics.registry.contentType, body: await metrics.registry.metrics() };
    default:
      return { status: 404, type: "text/plain", body: "/healthz, /readyz, /metrics\n" };
  }
}

async function isUp(probe: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), probeMs)));
  return Promise.race([
    probe.then(
      () => true,
      () => false,
    ),
    late,
  ]).finally(() => clearTimeout(timer));
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new OuterloopError("config", `OUTERLOOP_PROBE_PORT: cannot listen on ${host}:${port} (${messageOf(cause)})`, {
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
}
