/** Puts the app on a port, and takes it off again without cutting anybody short. */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { OuterloopError, type Config } from "@outerloop/core";
import { createApp } from "./app.ts";
import type { IngressOptions, IngressParts } from "./parts.ts";
import { announceWebhooks } from "./webhooks/announce.ts";

export interface ListenOptions extends Omit<IngressOptions, "instance"> {
  readonly instance?: string;
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Whether the next free port will do where this one is taken. */
  readonly fallback?: boolean;
  /** How long requests in flight may take once it closes. */
  readonly drainMs?: number;
}

export interface Ingress {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/** What configuration says of it. The first key seals people's sessions too: replicas share it, and it outlives a restart. */
export function ingressSettings(config: Config, firstKey: string): Omit<ListenOptions, "fallback"> {
  const { host, port, drainMs, metricsOpen, maxWatchers, maxBodyBytes, eventCacheBytes } = config;
  const { webhooks, questionDeadlineMs, maxRecordingBytes } = config;
  const limits = { maxWatchers, maxBodyBytes, eventCacheBytes, questionDeadlineMs, maxRecordingBytes };
  return { host, port, drainMs, metricsOpen, ...limits, webhooks, sessionSecret: firstKey };
}

const portsToTry = 100;
const defaultDrainMs = 10_000;
/** Longer than load balancers keep an idle connection (60 s mostly), so that they close it and not we. */
const keepAliveMs = 75_000;

/** @throws OuterloopError `config` where it cannot listen there, with what to do about it */
export async function startIngress(
  parts: IngressParts & { readonly lease?: string },
  options: ListenOptions,
): Promise<Ingress> {
  await announceWebhooks(parts, options.webhooks?.sources ?? []);
  const app = createApp(parts, { ...options, instance: options.instance ?? parts.lease ?? parts.createId("lease") });
  const server = createAdaptorServer({
    fetch: app.fetch,
    overrideGlobalObjects: false,
    serverOptions: { keepAliveTimeout: keepAliveMs },
  }) as Server;
  const port = await listen(server, options).catch((thrown: unknown) => {
    app.stop();
    throw thrown;
  });
  return {
    port,
    url: `http://${urlHost(options.host)}:${port}`,
    async close() {
      app.stop();
      await drain(server, options.drainMs ?? defaultDrainMs);
    },
  };
}

async function listen(server: Server, { host, port, fallback }: ListenOptions): Promise<number> {
  const last = fallback === true && port !== 0 ? Math.min(port + portsToTry, 65_535) : port;
  for (let candidate = port; candidate <= last; candidate++) {
    const failure = await tryToListen(server, host, candidate);
    if (failure === undefined) return (server.address() as AddressInfo).port;
    if (failure.code !== "EADDRINUSE") throw cannotListen(host, candidate, failure);
  }
  const taken = last === port ? `Port ${port} of ${host} is taken` : `Ports ${port} to ${last} of ${host} are taken`;
  throw new OuterloopError(
    "config",
    `${taken}. Set PORT to a free one, or stop what listens there (ss -ltnp shows it).`,
  );
}

function tryToListen(server: Server, host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const failed = (thrown: NodeJS.ErrnoException) => resolve(thrown);
    server.once("error", failed);
    server.listen(port, host, () => {
      server.off("error", failed);
      resolve(undefined);
    });
  });
}

function cannotListen(host: string, port: number, failure: NodeJS.ErrnoException): OuterloopError {
  const hint =
    failure.code === "EACCES"
      ? "Ports below 1024 need more rights: set PORT to a higher one."
      : "Set HOST to an address of this machine, such as 127.0.0.1 or 0.0.0.0.";
  return new OuterloopError(
    "config",
    `Cannot listen on ${host}:${port} (${failure.code ?? failure.message}). ${hint}`,
    { cause: failure },
  );
}

/** Ends when the last request is answered, or at the deadline. */
async function drain(server: Server, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection that falls idle now would otherwise be kept for its next request.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const deadline = setTimeout(() => server.closeAllConnections(), drainMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(deadline);
}

/** What a browser on this machine can open. */
function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
