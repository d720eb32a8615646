/** What goals and tasks say about their models, from their beginning, in the middle, and when it cannot be met any more. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWithServers } from "../support/servers.ts";
import { configText, startHouse, writeByRename, type House, type ModelsSaid } from "./support/house.ts";
import { planOf, startProvider, type Asked, type TestProvider } from "./support/provider.ts";

/** Of a model whose task lasts until it has another one: that is known half a second after it was said. */
const thinkMs = 200;

describeWithServers("goals and tasks that name models", () => {
  let provider: TestProvider;
  let house: House;
  /** Held back until it resolves, after it was told that a call of this task has come. */
  let holding: { readonly arrived: (part: string) => void; readonly until: Promise<unknown> } | null = null;

  const said = (names: readonly string[]): ModelsSaid => ({
    // One server: what is asked for shows by the model's name.
    providers: Object.fromEntries(names.map((name) => [name, { kind: "openai", base_url: provider.openAiBaseUrl }])),
    routes: {
      intake: "one/routed",
      plan: "one/routed",
      execute: "one/routed",
      hard: "one/routed-hard",
      reflect: "one/routed",
    },
  });
  beforeAll(async () => {
    provider = await startProvider(
      async (purpose, seen) => {
        const body = JSON.stringify(seen.body);
        if (purpose === "execute" && holding !== null && seen.messageCount === 1) {
          holding.arrived(partOf(body));
          await holding.until;
        }
        if (purpose === "execute" && body.includes("until it is new") && partOf(body) === "1") {
          if (seen.model === "new") return { text: "appended" };
          await sleep(thinkMs);
          return { toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: `${seen.number}\n` } }] };
        }
        const plans = purpose === "plan" && !body.includes("depends_on=");
        if (plans && body.includes("a hard one")) return { json: planOf(1, "hard") };
        return plans && body.includes("two parts") ? { json: planOf(2, "easy") } : undefined;
      },
      { calls: 2 },
    );
    house = await startHouse({
      // What other goals learned would stand in the requests that are told apart here.
      env: { OUTERLOOP_MEMORY: "off", OUTERLOOP_INTAKE: "off" },
      models: said(["one", "two"]),
    });
  }, 90_000);
  afterAll(async () => {
    await house?.stop();
    await provider?.close();
  });

  const partOf = (body: string) => [...body.matchAll(/append part (\d)/g)].at(-1)![1]!;
  /** Which models were asked since then, by purpose. */
  const modelsOf = (purpose: Asked["purpose"], since: number) =>
    provider.asked.slice(since).filter((each) => each.purpose === purpose);
  const namesOf = (asked: readonly Asked[]) => [...new Set(asked.map((each) => each.model))].toSorted();
  /** Creates a goal and waits until each of its tasks has made its first call, which is held until `go`. */
  async function createHeld(text: string, parts: readonly string[], models = {}) {
    const release = Promise.withResolvers<void>();
    const arrivals = new Map(parts.map((part) => [part, Promise.withResolvers<void>()]));
    holding = { arrived: (part) => arrivals.get(part)?.resolve(), until: release.promise };
    const since = provider.asked.length;
    const { id } = await house.client.goals.create({ text, models });
    await Promise.all([...arrivals.values()].map((each) => each.promise));
    return {
      id,
      since,
      go() {
        holding = null;
        release.resolve();
      },
    };
  }

  test("a goal's models are asked for the stages that it names, and the routes for the others", async () => {
    const since = provider.asked.length;
    const { id } = await house.client.goals.create({ text: "append", models: { execute: ["two/wished"] } });
    expect(await house.ended([id])).toMatchObject([{ status: "succeeded" }]);
    expect(namesOf(modelsOf("execute", since))).toEqual(["wished"]);
    expect(namesOf(modelsOf("plan", since))).toEqual(["routed"]);
    expect((await house.client.goals.get(id)).models).toEqual({ execute: ["two/wished"] });
  });

  test("a hard task takes the route for hard tasks, and a goal's wish for them before its wish for all", async () => {
    for (const [models, model] of [
      [{}, "routed-hard"],
      [{ execute: "two/for-all", hard: "two/for-hard" }, "for-hard"],
      [{ execute: "two/for-all" }, "for-all"],
    ] as const) {
      const since = provider.asked.length;
      const { id } = await house.client.goals.create({ text: "a hard one", models });
      expect(await house.ended([id])).toMatchObject([{ status: "succeeded" }]);
      expect(namesOf(modelsOf("execute", since))).toEqual([model]);
    }
  });

  test("a goal that is given other models goes by them in the middle of a task, and in its next plan", async () => {
    const { id, since, go } = await createHeld("until it is new", ["1"]);
    await house.client.goals.reroute(id, { models: { execute: "two/new", plan: "two/new" } });
    go();
    expect(await house.ended([id])).toMatchObject([{ status: "succeeded" }]);
    // The task goes on until its model is the new one, in the claim that it was begun in.
    expect(namesOf(modelsOf("execute", since))).toEqual(["new", "routed"]);
    expect(modelsOf("plan", since).map((each) => each.model)).toEqual(["routed", "new"]);
    expect(await house.rows("SELECT fence FROM tasks WHERE goal_id = $1 AND fence > 2", [id])).toEqual([]);
  });

  test("a task that is given another model asks it in its middle, and no other task does", async () => {
    const { id, since, go } = await createHeld("two parts, the first until it is new", ["1", "2"]);
    await house.client.goals.reroute(id, { task: "t1", models: { execute: "two/new" } });
    go();
    expect(await house.ended([id])).toMatchObject([{ status: "succeeded" }]);
    const ofPart = (part: string) =>
      modelsOf("execute", since).filter((each) => partOf(JSON.stringify(each.seen.body)) === part);
    expect(namesOf(ofPart("1"))).toEqual(["new", "routed"]);
    expect(namesOf(ofPart("2"))).toEqual(["routed"]);
  });

  test.each([
    ["a provider that there is not", { execute: "nobody/model" }, "models.execute", /nobody/],
    ["a name without a provider", { plan: "model" }, "models.plan", /provider\/model/],
    ["a stage that there is not", { dream: "one/model" }, "models.dream", /not a known field/],
  ])("%s is refused by its field", async (_title, models, field, message) => {
    const refusal = { status: 400, errors: [{ field, message: expect.stringMatching(message) }] };
    await expect(house.client.goals.create({ text: "append", models: models as object })).rejects.toMatchObject(
      refusal,
    );
    const { id, go } = await createHeld("append", ["1"]);
    await expect(house.client.goals.reroute(id, { models: models as object })).rejects.toMatchObject(refusal);
    go();
    expect(await house.ended([id])).toMatchObject([{ status: "succeeded" }]);
  });

  test("where a wish's provider is set up no more, the task fails and says so", async () => {
    const { id, go } = await createHeld("append", ["1"], { execute: "two/wished" });
    const reloaded = () =>
      house.processes().map(({ lines }) => lines.filter((line) => line.event === "config_reloaded").length);
    const before = reloaded();
    writeByRename(house.path, configText(said(["one"])));
    await expect.poll(reloaded, { timeout: 20_000, interval: 20 }).toEqual(before.map((each) => each + 1));
    go();
    await house.ended([id]);
    const [task] = await house.rows<{ status: string; reason: string }>(
      "SELECT status, reason FROM tasks WHERE goal_id = $1",
      [id],
    );
    expect(task!.status).toBe("failed");
    expect(task!.reason).toBe(`the goal's model for execute: no provider is called "two": there are one, offline`);
  });
});
