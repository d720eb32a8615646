import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { OuterloopError } from "@outerloop/core";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startIngress } from "./server.ts";
import { openHouse, type House } from "./testing/house.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house[Symbol.asyncDispose]());

const host = "127.0.0.1";
const headers = { authorization: "Bearer ol_test_admin_key" };

async function takePort(): Promise<{ port: number } & AsyncDisposable> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

test("a port that is taken is named, with what to do", async () => {
  await using taken = await takePort();
  const failure = await startIngress(house.parts, { host, port: taken.port }).catch((thrown: unknown) => thrown);
  expect(failure).toBeInstanceOf(OuterloopError);
  expect(failure).toMatchObject({
    code: "config",
    message: expect.stringMatching(new RegExp(`Port ${taken.port} .* is taken. Set PORT`)),
  });
});

test("with a fallback the next free port is used", async () => {
  await using taken = await takePort();
  const ingress = await startIngress(house.parts, { host, port: taken.port, fallback: true });
  expect(ingress.port).toBeGreaterThan(taken.port);
  expect((await fetch(`${ingress.url}/healthz`)).status).toBe(200);
  await ingress.close();
});

test("an address that is not this machine's is named", async () => {
  await expect(startIngress(house.parts, { host: "192.0.2.1", port: 0 })).rejects.toThrow(
    /Cannot listen on 192\.0\.2\.1.*Set HOST/,
  );
});

test("closing ends event streams, answers what is under way and takes no more", async () => {
  const ingress = await startIngress(house.parts, { host, port: 0 });
  const goalId = await house.post();
  const stream = await fetch(`${ingress.url}/v1/goals/${goalId}/events`, { headers });
  const reader = stream.body!.getReader();
  await reader.read();

  let release!: () => void;
  const held = new Promise<void>((resolve) => (release = resolve));
  const ping = vi.spyOn(house.parts.queue, "ping").mockReturnValue(held);
  const underWay = fetch(`${ingress.url}/readyz`);
  await expect.poll(() => ping.mock.calls.length).toBe(1);
  const closing = ingress.close();
  for (;;) if ((await reader.read()).done) break;
  release();
  const answer = await underWay;
  expect([answer.status, ((await answer.json()) as { status: string }).status]).toEqual([503, "stopping"]);
  await closing;
  await expect(fetch(`${ingress.url}/healthz`)).rejects.toThrow("fetch failed");
});

test("closing does not wait for ever for a request that never ends", async () => {
  const ingress = await startIngress(house.parts, { host, port: 0, drainMs: 200 });
  const endless = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([0x7b])) });
  const stuck = fetch(`${ingress.url}/v1/goals`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: endless,
    duplex: "half",
  } as RequestInit).catch(() => "cut");
  await new Promise((resolve) => setTimeout(resolve, 100));
  await ingress.close();
  expect(await stuck).toBe("cut");
});

test("too large a body is answered over the wire, and the connection closed", async () => {
  const ingress = await startIngress(house.parts, { host, port: 0, maxBodyBytes: 100_000 });
  const response = await fetch(`${ingress.url}/v1/goals`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ text: "a".repeat(5_000_000) }),
  });
  expect([response.status, response.headers.get("connection")]).toEqual([413, "close"]);
  expect(await response.text()).toContain("100000 bytes");
  expect((await fetch(`${ingress.url}/v1/goals`, { headers })).status).toBe(200);
  await ingress.close();
});
