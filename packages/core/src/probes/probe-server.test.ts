import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { startProbeServer, type Probes, type ProbeServer } from "./probe-server.ts";

const failures: string[] = [];
let server: ProbeServer | undefined;
afterEach(async () => {
  failures.length = 0;
  await server?.close();
});

async function start(probes: Partial<Probes> = {}): Promise<(path: string) => Promise<Response>> {
  server = await startProbeServer(
    {
      progress: { standing: async () => [] },
      readiness: async () => ({
        status: "ready",
        parts: { postgres: { state: "up", ms: 1 }, queue: { state: "up", ms: 1 } },
      }),
      metrics: async () => ({ type: "text/plain", text: "x 1\n" }),
      load: async () => ({ plan: 1, execute: 2, reflect: 3 }),
      failed: (path) => void failures.push(path),
      ...probes,
    },
    "127.0.0.1",
    0,
  );
  return (path) => fetch(`http://127.0.0.1:${server!.port}${path}`);
}

test("a loop that stands still is named with 503", async () => {
  const ask = await start({ progress: { standing: async () => [{ loop: "reconciler", ms: 130_000 }] } });
  const response = await ask("/healthz?from=kubelet");
  expect(response.status).toBe(503);
  expect(await response.json()).toEqual({ status: "stalled", standing: [{ loop: "reconciler", ms: 130_000 }] });
});

test.each([
  ["ready", 200],
  ["degraded", 200],
  ["not_ready", 503],
  ["stopping", 503],
] as const)("%s is %i", async (status, expected) => {
  const parts = { postgres: { state: "up", ms: 1 }, queue: { state: "away", ms: 1 } } as const;
  const ask = await start({ readiness: async () => ({ status, parts }) });
  expect((await ask("/readyz")).status).toBe(expected);
});

test("what cannot be told is 503 without the reason, which is for the log", async () => {
  const ask = await start({ load: () => Promise.reject(new Error("role secret_name has no password")) });
  const response = await ask("/scaling");
  expect(response.status).toBe(503);
  expect(await response.text()).not.toContain("secret_name");
  expect(failures).toEqual(["/scaling"]);
});

test.each(["//", "http://[", "/%zz", "*", `/${"x".repeat(4000)}`])(
  "a request for %s is answered like any other",
  async (target) => {
    const ask = await start();
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(server!.port, "127.0.0.1", () =>
        socket.write(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`),
      );
      let text = "";
      socket.on("data", (bytes) => (text += String(bytes)));
      socket.on("close", () => resolve(text));
      socket.on("error", reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 (400|404) /);
    expect(await (await ask("/scaling")).json()).toEqual({ plan: 1, execute: 2, reflect: 3 });
  },
);
