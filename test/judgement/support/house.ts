/** One deployment, all of whose goals are played at the same time by scripted models, each goal's chosen by the tag in its text. */
import type { Client } from "@outerloop/client";
import type { ArtifactResource, EventResource, GoalResource, StepResource } from "@outerloop/core/domain";
import {
  startScriptedServer,
  type Scripted,
  type ScriptedServer,
} from "../../../packages/core/src/models/testing/scripted-server.ts";
import { deploy, type Deployment } from "../../support/deployments.ts";
import { endProcesses } from "../../support/processes.ts";
import { cloneDatabase, realServers } from "../../support/servers.ts";
import { answerAs, type Model } from "../models/model.ts";
import { readView, type View } from "./view.ts";

export const protocols = {
  Responses: (server: ScriptedServer) => ({
    OPENAI_BASE_URL: server.openAiBaseUrl,
    OPENAI_API: "responses",
    OPENAI_API_KEY: "sk-test-0123456789abcdef",
    OUTERLOOP_MODEL: "openai/gpt-test",
  }),
  "Chat Completions": (server: ScriptedServer) => ({
    OPENAI_BASE_URL: server.openAiBaseUrl,
    OPENAI_API: "chat",
    OUTERLOOP_MODEL: "openai/gpt-test",
  }),
  Messages: (server: ScriptedServer) => ({
    ANTHROPIC_BASE_URL: server.anthropicBaseUrl,
    ANTHROPIC_API_KEY: "sk-ant-test-0123456789",
    OUTERLOOP_MODEL: "anthropic/claude-test",
  }),
} as const;
export type ProtocolName = keyof typeof protocols;

/** A goal and the model that plays it. */
export interface Scene {
  /** Unique in its house, and part of the goal's text. */
  readonly tag: string;
  readonly goal: string;
  readonly model: Model;
  readonly attachments?: readonly { readonly path: string; readonly text: string }[];
  /** More of the body of `POST /v1/goals`. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** Holds an answer back, for what must happen in an order. */
  readonly holds?: (view: View, progress: Progress) => Promise<void>;
  /** Called with each event as it comes. */
  readonly onEvent?: (event: SeenEvent, house: House, goalId: string) => Promise<void> | void;
}

/** Types as text: the suite speaks of events that an older client's list does not have. */
export type SeenEvent = Omit<EventResource, "type"> & { readonly type: string };

/** A goal as far as it has come. */
export interface Progress {
  readonly events: readonly SeenEvent[];
  readonly views: readonly View[];
  /** Resolves as soon as this holds; it is looked at whenever there is a new event or view. */
  until(holds: () => boolean): Promise<void>;
}

/** A goal that has ended, and all that is left of it. */
export interface Run {
  readonly goal: GoalResource;
  readonly events: readonly SeenEvent[];
  readonly steps: readonly StepResource[];
  readonly files: readonly ArtifactResource[];
  /** What its models saw, in the order in which they were asked. */
  readonly views: readonly View[];
  text(path: string): Promise<string>;
}

export interface House {
  readonly deployment: Deployment;
  readonly client: Client;
  /** Submits a scene's goal and follows it to its end; the same run however often it is asked for. */
  play(scene: Scene): Promise<Run>;
  /** `POST /v1/goals/:id/VERB`. */
  post(path: string, body: unknown): Promise<Response>;
  close(): Promise<void>;
}

export interface HouseOptions {
  /** Waited before a model answers. */
  readonly latencyMs?: number;
}

/** Ends what runs away; an honest scene takes a third of the steps. The clock is for machines that stand still. */
export const budget = { steps: 120, wall_ms: 600_000, tokens: 5_000_000 } as const;

export async function openHouse(protocol: ProtocolName, options: HouseOptions = {}): Promise<House> {
  const scenes = new Map<string, Playing>();
  const server = await startScriptedServer(async (seen): Promise<Scripted> => {
    const view = readView(seen);
    const playing = scenes.get(view.tag);
    if (playing === undefined) return { error: { status: 400, message: `no scene is called "${view.tag}"` } };
    playing.progress.views.push(view);
    playing.progress.look();
    await playing.scene.holds?.(view, playing.progress);
    if (options.latencyMs !== undefined) await new Promise((resolve) => setTimeout(resolve, options.latencyMs));
    return answerAs(playing.scene.model, view);
  });
  // All services in one process, on Postgres where the machine has one: what is tried here is above the store.
  const clone = realServers().kind === "available" ? await cloneDatabase() : null;
  const deployment = await deploy({
    size: "embedded",
    env: {
      ...(clone !== null && { DATABASE_URL: clone.url }),
      // A hundred goals at once on a busy machine: a late renewal is no finding of this suite.
      OUTERLOOP_LEASE_MS: "20000",
      OUTERLOOP_RECONCILE_MS: "5000",
      OUTERLOOP_SKILL_MODULES: "test/support/skills/world.ts",
      OUTERLOOP_AUTO_APPROVE: "send_mail",
      ...protocols[protocol](server),
    },
  });
  const { client } = deployment;

  const post: House["post"] = (path, body) =>
    fetch(`${deployment.url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${deployment.apiKey}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  async function follow(scene: Scene, { events, views, look }: KeptProgress): Promise<Run> {
    const response = await post("/v1/goals", {
      text: `${scene.goal} [${scene.tag}]`,
      attachments: scene.attachments ?? [],
      budget,
      ...scene.body,
    });
    if (!response.ok) throw new Error(`POST /v1/goals: ${response.status} ${await response.text()}`);
    const { id } = (await response.json()) as { id: string };
    for await (const event of client.goals.watch(id)) {
      events.push(event);
      look();
      await scene.onEvent?.(event, house, id);
    }
    const [goal, steps, files] = await Promise.all([
      client.goals.get(id),
      Array.fromAsync(client.goals.steps(id)),
      client.goals.artifacts(id),
    ]);
    const text = async (path: string) => new TextDecoder().decode(await client.goals.artifact(id, path));
    return { goal, events, steps, files, views, text };
  }

  const house: House = {
    deployment,
    client,
    play(scene) {
      const known = scenes.get(scene.tag);
      if (known !== undefined) {
        if (known.scene !== scene) throw new Error(`two scenes are called "${scene.tag}"`);
        return known.run;
      }
      const progress = keepProgress();
      // In the map before its first request can come.
      const begun = Promise.withResolvers<Run>();
      scenes.set(scene.tag, { scene, run: begun.promise, progress });
      begun.resolve(follow(scene, progress));
      // Whoever awaits it is told; a scene that nobody awaits, because a test failed first, ends no process.
      begun.promise.catch(() => undefined);
      return begun.promise;
    },
    post,
    async close() {
      await deployment.stop();
      await endProcesses();
      await server.close();
      await clone?.drop();
    },
  };
  return house;
}

interface Playing {
  readonly scene: Scene;
  readonly run: Promise<Run>;
  readonly progress: KeptProgress;
}

interface KeptProgress extends Progress {
  readonly events: SeenEvent[];
  readonly views: View[];
  look(): void;
}

function keepProgress(): KeptProgress {
  const waiting = new Set<() => void>();
  return {
    events: [],
    views: [],
    look: () => {
      for (const each of waiting) each();
    },
    until: (holds) =>
      new Promise((resolve) => {
        const look = () => {
          if (!holds()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}
