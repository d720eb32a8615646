/** What external tools reach: a receiver that deduplicates by Idempotency-Key and remembers every delivery. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text as readText } from "node:stream/consumers";

export interface Delivery {
  readonly key: string;
  readonly body: string;
  readonly at: number;
  /** Resolves when who sent it hung up before it was answered; never otherwise. */
  readonly hungUp: Promise<void>;
}

export interface Sink {
  /** For the processes of a deployment. */
  readonly env: Readonly<Record<string, string>>;
  /** Every request, also those that repeat a key. */
  readonly deliveries: readonly Delivery[];
  /** Keys: what happened, once each. */
  effects(): ReadonlySet<string>;
  /** Called before each answer; what it returns is waited for. */
  onDelivery(listener: (delivery: Delivery) => Promise<void> | void): void;
  close(): Promise<void>;
}

export async function startSink(): Promise<Sink> {
  const deliveries: Delivery[] = [];
  let listener: (delivery: Delivery) => Promise<void> | void = () => undefined;
  const server = createServer((request, response) => {
    void (async () => {
      const hungUp = new Promise<void>((resolve) =>
        response.once("close", () => {
          if (!response.writableEnded) resolve();
        }),
      );
      if (request.method === "GET") {
        const key = request.headers["idempotency-key"];
        response.end(JSON.stringify({ seen: deliveries.some((delivery) => delivery.key === key) }));
        return;
      }
      const body = await readText(request);
      const delivery = { key: String(request.headers["idempotency-key"]), body, at: Date.now(), hungUp };
      deliveries.push(delivery);
      await listener(delivery);
      response.end("received");
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const skill = new URL("../../support/skills/sink.ts", import.meta.url).pathname;
  return {
    env: {
      SINK_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      OUTERLOOP_SKILL_MODULES: skill,
      // What is tested is what happens to a call that may run, not who lets it.
      OUTERLOOP_AUTO_APPROVE: "*",
    },
    deliveries,
    effects: () => new Set(deliveries.map((delivery) => delivery.key)),
    onDelivery: (each) => void (listener = each),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
