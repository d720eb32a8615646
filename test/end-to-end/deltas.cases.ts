/**
 * What models write, on its way to those who watch, through real processes: before the step that it belongs to, without a number,
 * whole, and without the secrets of the process. And those secrets in none of what is kept.
 */
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { EventResource, ModelDelta } from "@outerloop/core/domain";
import {
  startScriptedServer,
  type Scripted,
  type ScriptedServer,
  type Seen,
} from "../../packages/core/src/models/testing/scripted-server.ts";
import type { RedisGroup } from "../crash/support/redis-groups.ts";
import { deploy, type Deployment, type Size } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, done, scriptFor } from "../support/scripts.ts";

/** With what JSON escapes. */
const key = 'sk-test"key\\0123456789abcdef';
const inJson = JSON.stringify(key).slice(1, -1);

const plan = {
  ...appendTasks(1),
  tasks: appendTasks(1).tasks.map((task) => ({ ...task, tools: ["append_to_file", "write_note"] })),
};

interface Frame {
  readonly id: number | null;
  readonly event: string;
  readonly data: unknown;
}

interface Watching {
  readonly frames: Frame[];
  readonly ended: Promise<void>;
  leave(): void;
}

/** @param openRedis a group of servers in place of the one Redis */
export function deltaCases(size: Size, openRedis?: () => Promise<RedisGroup>): void {
  describe(`what models write, on ${size}`, () => {
    let models: ScriptedServer;
    let group: RedisGroup | undefined;
    let deployment: Deployment;
    let script: (seen: Seen) => Promise<Scripted> | Scripted = () => ({ text: "no script" });

    beforeAll(async () => {
      models = await startScriptedServer((seen) => script(seen));
      group = await openRedis?.();
      deployment = await deploy({
        size,
        env: {
          ...group?.env,
          OPENAI_BASE_URL: models.openAiBaseUrl,
          OPENAI_API_KEY: key,
          OPENAI_API: "chat",
          OUTERLOOP_MODEL: "openai/gpt-test",
        },
      });
    }, 90_000);
    afterAll(async () => {
      await deployment?.stop();
      await endProcesses();
      await models?.close();
      await group?.close();
    }, 60_000);

    async function watch(goal: string, query: string, after = 0): Promise<Watching> {
      const leaving = new AbortController();
      const response = await fetch(`${deployment.url}/v1/goals/${goal}/events${query}`, {
        headers: {
          authorization: `Bearer ${deployment.apiKey}`,
          ...(after > 0 ? { "last-event-id": String(after) } : {}),
        },
        signal: leaving.signal,
      });
      expect(response.status).toBe(200);
      const frames: Frame[] = [];
      const read = async () => {
        let rest = "";
        const decoder = new TextDecoder();
        for await (const chunk of response.body!) {
          const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
          rest = blocks.pop() ?? "";
          for (const block of blocks) {
            const [, id, event, data] = /^(?:id: (\d+)\n)?event: (\S+)\ndata: (.*)$/.exec(block) ?? [];
            if (event !== undefined && data !== undefined)
              frames.push({ id: id === undefined ? null : Number(id), event, data: JSON.parse(data) });
          }
        }
      };
      return { frames, ended: read().catch(() => undefined), leave: () => leaving.abort() };
    }

    /** Begins a goal whose first model call waits until it is told to go on. */
    async function begin(execute: (seen: Seen) => Scripted) {
      const gate = Promise.withResolvers<void>();
      let round = 0;
      const answer = scriptFor({
        plan: () => (round++ === 0 ? plan : done("all is written")),
        execute,
        verdict: () => ({ status: "done", reason: `as asked, ${key}`, new_tasks: [], lesson: `Never say ${key}` }),
      });
      script = async (seen) => {
        await gate.promise;
        return answer(seen);
      };
      const { id } = await deployment.client.goals.create({ text: "append" });
      return { id, goOn: () => gate.resolve() };
    }
    const deltasIn = (frames: readonly Frame[]) =>
      frames.flatMap((frame, index) =>
        frame.event === "model.delta" ? [{ ...(frame.data as ModelDelta), index, id: frame.id }] : [],
      );
    const stepsIn = (frames: readonly Frame[]) =>
      frames.flatMap((frame, index) => {
        if (frame.event !== "step.model") return [];
        const { data } = frame.data as EventResource;
        return [{ task: data["key"] ?? null, attempt: data["attempt"], seq: data["seq"], index }];
      });
    const isOf =
      (step: { task: unknown; attempt: unknown; seq: unknown }) =>
      (delta: { task: unknown; attempt: unknown; seq: unknown }) =>
        delta.task === step.task && delta.attempt === step.attempt && delta.seq === step.seq;
    const text = "First I look, and then I write — größer, 漢字, 👩‍👩‍👧 and a line end.\n".repeat(60);
    const append: Scripted = {
      text,
      toolCalls: [{ name: "append_to_file", args: { path: "out.txt", text: "line 1\n" } }],
    };

    test("comes before the step's event, without a number, whole; who comes back gets each event once", async () => {
      let broken = 0;
      const { id, goOn } = await begin((seen) => {
        if (seen.messageCount > 1) return { text: "appended" };
        return broken++ === 0 ? { ...append, after: "break" } : { ...append, hold };
      });
      const watching = await watch(id, "?deltas=true");
      // What ends a call at once may come too late, so it ends when all is there.
      const hold = () =>
        vi.waitFor(
          () => {
            const shown = deltasIn(watching.frames).filter((delta) => delta.output === null && delta.try === 2);
            expect(shown.map((delta) => delta.text).join("")).toBe(text);
          },
          { timeout: 10_000 },
        );
      await vi.waitFor(() => expect(watching.frames[0]?.id).toBe(1));
      goOn();
      // In the middle it goes away, and comes back from the last number that it saw.
      await vi.waitFor(() => expect(stepsIn(watching.frames).length).toBeGreaterThan(2), { timeout: 30_000 });
      watching.leave();
      await watching.ended;
      const last = Math.max(...watching.frames.map((frame) => frame.id ?? 0));
      const back = await watch(id, "?deltas=true", last);
      await back.ended;
      const frames = [...watching.frames, ...back.frames];
      const ids = frames.flatMap((frame) => frame.id ?? []);
      expect(ids).toEqual(ids.map((_, index) => index + 1));

      const deltas = deltasIn(frames);
      expect(deltas.every((delta) => delta.id === null && delta.transient)).toBe(true);
      expect(deltas.map((delta) => delta.output)).toEqual(expect.arrayContaining(["intake", "plan", null]));
      for (const step of stepsIn(frames))
        for (const delta of deltas.filter(isOf(step))) expect(delta.index).toBeLessThan(step.index);

      const written = deltas.filter((delta) => delta.task === "t1" && delta.stage === "execute" && delta.seq === 1);
      const lastTry = Math.max(...written.map((delta) => delta.try));
      expect(lastTry).toBe(2);
      let whole = "";
      for (const delta of written.filter((each) => each.try === lastTry)) {
        expect(delta.offset).toBe(whole.length);
        whole += delta.text;
      }
      expect(whole).toBe(text);
      for await (const step of deployment.client.goals.steps(id))
        if (step.kind === "model" && step.stage === "execute" && step.seq === 1)
          expect(step.output).toMatchObject({ message: { text: whole } });
    }, 60_000);

    test("comes to nobody who did not ask for it", async () => {
      const { id, goOn } = await begin((seen) =>
        seen.messageCount > 1
          ? { text: "appended" }
          : {
              ...append,
              hold: () =>
                vi.waitFor(() => expect(deltasIn(asked.frames).some((delta) => delta.output === null)).toBe(true), {
                  timeout: 10_000,
                }),
            },
      );
      const asked = await watch(id, "?deltas=true");
      const others = [await watch(id, ""), await watch(id, "?deltas=false")];
      await vi.waitFor(() => expect(asked.frames[0]?.id).toBe(1));
      goOn();
      await Promise.all([asked, ...others].map((each) => each.ended));
      expect(deltasIn(asked.frames)).not.toEqual([]);
      for (const other of others)
        expect(other.frames).toEqual(asked.frames.filter((frame) => frame.event !== "model.delta"));
    }, 60_000);

    test("secrets that a model echoes are in no event, no step, no file, no memory and not in what is shown", async () => {
      const { id, goOn } = await begin((seen) =>
        seen.messageCount > 1
          ? { text: `I appended ${key}` }
          : {
              hold: () =>
                vi.waitFor(() => expect(JSON.stringify(watching.frames)).toContain("My key is *****"), {
                  timeout: 10_000,
                }),
              text: `My key is ${key}, as JSON ${JSON.stringify({ key })}.`,
              toolCalls: [
                { name: "append_to_file", args: { path: "out.txt", text: `key ${key}\n` } },
                { name: "write_note", args: { text: `the key is ${key}` } },
                { name: key, args: { [key]: key } },
              ],
            },
      );
      const watching = await watch(id, "?deltas=true");
      await vi.waitFor(() => expect(watching.frames[0]?.id).toBe(1));
      goOn();
      await watching.ended;
      const { client } = deployment;
      const seen: unknown[] = [watching.frames, await client.goals.get(id)];
      for await (const step of client.goals.steps(id)) seen.push(step, await client.steps.get(step.id));
      seen.push(Buffer.from(await client.goals.artifact(id, "out.txt")).toString());
      if (size !== "embedded") seen.push(await allRows(deployment.databaseUrl));
      for (const child of deployment.processes.values()) seen.push(child.lines, child.text());
      const all = JSON.stringify(seen);
      expect(all).toContain("My key is *****");
      expect(all).toContain("My key is [redacted], as JSON");
      expect(all).toContain("key [redacted]");
      for (const form of [inJson, JSON.stringify(inJson).slice(1, -1), "0123456789abcdef"])
        expect(all).not.toContain(form);
    }, 60_000);

    if (size !== "embedded")
      test("costs no message where nobody watches", async () => {
        const heard = await hearTexts(deployment, size);
        const { id, goOn } = await begin((seen) => (seen.messageCount > 1 ? { text: "appended" } : append));
        goOn();
        // One who watches events alone is nobody here.
        await (
          await watch(id, "")
        ).ended;
        expect(heard.count()).toBe(0);
        // And somebody is counted by this.
        const second = await begin((seen) => (seen.messageCount > 1 ? { text: "appended" } : append));
        const watching = await watch(second.id, "?deltas=true");
        await vi.waitFor(() => expect(watching.frames[0]?.id).toBe(1));
        second.goOn();
        await watching.ended;
        await vi.waitFor(() => expect(heard.count()).toBeGreaterThan(0));
        await heard.close();
      }, 60_000);
  });
}

/** Counts the messages about texts, of all goals. */
async function hearTexts(deployment: Deployment, size: "postgres" | "redis") {
  let count = 0;
  if (size === "redis") {
    const redis = new Redis(deployment.env["REDIS_URL"]!.split(",")[0]!);
    redis.on("pmessage", () => (count += 1));
    await redis.psubscribe("*:text:*");
    return { count: () => count, close: async () => redis.disconnect() };
  }
  const client = new pg.Client(deployment.databaseUrl);
  await client.connect();
  client.on("notification", () => (count += 1));
  await client.query("LISTEN outerloop_texts");
  return { count: () => count, close: () => client.end() };
}

/** All that our tables hold, as text. */
async function allRows(url: string): Promise<string> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows: tables } = await client.query<{ name: string }>(
    "SELECT format('%I', table_name) AS name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'",
  );
  const found: unknown[] = [];
  for (const { name } of tables)
    found.push((await client.query(`SELECT to_jsonb(t)::text AS row FROM ${name} t`)).rows);
  await client.end();
  return JSON.stringify(found);
}
