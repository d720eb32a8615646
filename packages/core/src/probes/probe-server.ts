/**
 * What a service shows of itself to who runs it, on a port of its own and without a key: it names no tenant and no goal.
 *
 * - `/healthz` whether it lives: its loops turn (`progress.ts`). 503 names those that stand still.
 * - `/readyz` whether work may be given to it.
 * - `/metrics` its metrics; `/scaling` how much work each stage has.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { OuterloopError, messageOf } from "../domain/errors.ts";
import type { Progress } from "./progress.ts";
import { isReady, type Readiness } from "./readiness.ts";
import { within } from "./within.ts";

export interface ProbeServer {
  readonly port: number;
  close(): Promise<void>;
}

export interface Probes {
  readonly progress: Pick<Progress, "standing">;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: () => Promise<{ readonly type: string; readonly text: string }>;
  readonly load: () => Promise<Readonly<Record<string, number>>>;
  /** Told of what could not be answered; who asked is not told why. */
  readonly failed: (path: string, thrown: unknown) => void;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** A probe that takes longer has failed. */
const answerMs = 5000;

export async function startProbeServer(probes: Probes, host: string, port: number): Promise<ProbeServer> {
  const server = createServer((request, response) => {
    const send = ({ status, type, body }: Answer) =>
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
    const [path = "/"] = (request.url ?? "/").split("?", 1);
    void within(answerMs, answer(probes, path)).then(send, (thrown: unknown) => {
      probes.failed(path, thrown);
      send({ status: 503, type: "text/plain", body: "This cannot be told now; the log says why.\n" });
    });
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

async function answer({ progress, readiness, metrics, load }: Probes, path: string): Promise<Answer> {
  switch (path) {
    case "/healthz": {
      const standing = await progress.standing();
      return standing.length === 0 ? json(200, { status: "ok" }) : json(503, { status: "stalled", standing });
    }
    case "/readyz": {
      const found = await readiness();
      return json(isReady(found) ? 200 : 503, found);
    }
    case "/metrics": {
      const { type, text } = await metrics();
      return { status: 200, type, body: text };
    }
    case "/scaling":
      return json(200, await load());
    default:
      return { status: 404, type: "text/plain", body: "/healthz, /readyz, /metrics, /scaling\n" };
  }
}

function json(status: number, body: unknown): Answer {
  return { status, type: "application/json", body: JSON.stringify(body) };
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
