/** A first provider that is down for good costs goals next to nothing once its breaker has opened. */
import { createServer, type AddressInfo, type Server } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWithServers } from "../support/servers.ts";
import { startHouse, type House } from "./support/house.ts";
import { startProvider, type TestProvider } from "./support/provider.ts";
import { medianOf, sized, tellFigures } from "./support/size.ts";

const goals = sized(6, 30);
/** By which the median goal may be slower than with the healthy provider alone. */
const addedMs = sized(4000, 2000);
const silenceMs = 500;

describeWithServers("a provider that is down for good", () => {
  let healthy: TestProvider;
  let silent: Server;
  let house: House;

  beforeAll(async () => {
    healthy = await startProvider();
    const url = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    const listening = (server: Server) =>
      new Promise<Server>((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
    const gone = await listening(createServer());
    const refusedUrl = url(gone);
    await new Promise((resolve) => gone.close(resolve));
    silent = await listening(createServer((socket) => socket.on("error", () => socket.destroy()).resume()));
    const timeouts = { total_ms: 10_000, first_token_ms: silenceMs, between_tokens_ms: silenceMs };
    const routed = ["healthy/claude-test"];
    house = await startHouse({
      executors: 2,
      env: { SECOND_KEY: "sk-second" },
      models: {
        providers: {
          refused: { kind: "openai", base_url: refusedUrl, timeouts },
          silent: { kind: "openai", base_url: url(silent), timeouts },
          healthy: { kind: "anthropic", base_url: healthy.anthropicBaseUrl, key: { env: "SECOND_KEY" } },
        },
        routes: { intake: routed, plan: routed, execute: routed, hard: routed, reflect: routed },
        breaker: { calls: 5, min_calls: 3, open_ms: 60_000, probe_ms: 1000 },
      },
    });
  }, 90_000);
  afterAll(async () => {
    await house?.stop();
    await healthy?.close();
    await new Promise((resolve) => silent?.close(resolve));
  });

  /** Milliseconds of the median goal, one after the other: what they wait for is no queue. */
  async function medianMs(route: readonly string[] | undefined, count: number): Promise<number> {
    const models =
      route === undefined
        ? {}
        : { models: { intake: [...route], plan: [...route], execute: [...route], reflect: [...route] } };
    const took: number[] = [];
    for (let left = count; left > 0; left -= 1) {
      const { id } = await house.client.goals.create({ text: "append a line", ...models });
      const [goal] = await house.ended([id]);
      expect(goal).toMatchObject({ status: "succeeded" });
      took.push(goal!.tookMs);
    }
    return medianOf(took);
  }

  test.each(["refused", "silent"])(
    `%s: ${goals} goals take at most ${addedMs} ms more than without it`,
    async (name) => {
      const route = [`${name}/gpt-test`, "healthy/claude-test"];
      await medianMs(undefined, 1);
      const alone = await medianMs(undefined, goals);
      const model = `${name}/gpt-test`;
      // Its breaker opens in the goals before those that are looked at.
      await medianMs(route, sized(3, 6));
      for (const process of house.processes())
        await process.until((line) => line.event === "model_open" && line["model"] === model, "it knew");
      const requests = async () =>
        (await house.tries()).filter((each) => each.model === model && !["breaker_open", "cooling"].includes(each.why))
          .length;
      const before = await requests();
      const withDead = await medianMs(route, goals);
      tellFigures(`down for good, ${name}`, { aloneMs: alone, withDeadMs: withDead, addedMs: withDead - alone });
      expect(withDead - alone).toBeLessThanOrEqual(addedMs);
      // No goal asked it: only probes did.
      expect(await requests()).toBe(before);
    },
    sized(60_000, 300_000),
  );
});
