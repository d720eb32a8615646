/** The tools of a simulation and the receivers behind those that reach out, which remember everything that came. */
import type { Probed, Skill, Tool, ToolContext, ToolOutcome } from "@outerloop/core";
import { createWaitingSkill } from "@outerloop/skills";
import { z } from "zod";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

export interface Delivery {
  readonly tool: string;
  readonly key: string;
  readonly goalId: string;
  readonly taskId: string;
  readonly args: { readonly n: string };
  readonly at: number;
}

export interface OutsideFaults {
  /** Of a call that surely does not happen. */
  refusals: number;
  /** Of a call that happens, or does not, and nobody is told. */
  silences: number;
  /** Of a tool that takes longer than it may. */
  hangs: number;
}

export interface Outside {
  readonly skills: readonly Skill[];
  /** By key, in order of arrival, repetitions too. */
  readonly deliveries: ReadonlyMap<string, readonly Delivery[]>;
  /** Keys whose receiver said that nothing happened, by count. */
  readonly refused: ReadonlyMap<string, number>;
  /** What a probe answered, by key: how often it said that nothing was there. */
  readonly probedAbsent: ReadonlyMap<string, number>;
}

/** Which tools reach out, and what is known of their receivers. */
export const externalTools = {
  mail: "blind",
  post: "deduplicates",
  order: "probed",
} as const;

const input = z.object({ n: z.string() });
const timeoutMs = 8000;

/** @param onCall is told of every call of a tool before anything of it happens */
export function createOutside(
  world: World,
  random: Random,
  faults: OutsideFaults,
  onCall: (tool: string, args: { readonly n: string }, context: ToolContext) => void,
  onDelivery: (delivery: Delivery) => void,
): Outside {
  const deliveries = new Map<string, Delivery[]>();
  const refused = new Map<string, number>();
  const probedAbsent = new Map<string, number>();
  const count = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1);

  async function lasts(): Promise<void> {
    if (random.chance(faults.hangs)) await new Promise(() => undefined);
    await world.pause(random.chance(0.1) ? random.int(500, 6000) : random.int(1, 200));
  }

  const pure = (name: string): Tool<z.output<typeof input>> => ({
    name,
    version: "1",
    description: `${name} at something`,
    effect: "pure",
    timeoutMs,
    input,
    async run(args, context) {
      onCall(name, args, context);
      await lasts();
      if (random.chance(0.1)) return { ok: false, text: "nothing there" };
      // What is long is put away into a file.
      return { ok: true, text: `saw ${args.n}`.padEnd(random.chance(0.1) ? 3000 : 0, " and more") };
    },
  });
  const stored = (name: string, kind: "file" | "note"): Tool<z.output<typeof input>> => ({
    name,
    version: "1",
    description: `${name} something`,
    effect: "stored",
    timeoutMs,
    input,
    async run(args, context) {
      onCall(name, args, context);
      await lasts();
      return {
        ok: true,
        text: `kept ${args.n}`,
        writes: [
          kind === "note"
            ? { kind, text: args.n }
            : { kind, mode: name === "write" ? "write" : "append", path: "log.txt", text: `${args.n}\n` },
        ],
      };
    },
  });

  /** What arrives, arrives at once; what is heard of it may take long, or never come. */
  async function send(tool: string, args: { readonly n: string }, context: ToolContext): Promise<ToolOutcome> {
    onCall(tool, args, context);
    const key = context.idempotencyKey;
    if (random.chance(faults.refusals)) {
      count(refused, key);
      await world.pause(random.int(1, 500));
      return { ok: false, text: "refused: nothing was done" };
    }
    const silent = random.chance(faults.silences);
    if (!silent || random.chance(0.5)) {
      const delivery = { tool, key, args, goalId: context.goalId, taskId: context.taskId, at: world.now };
      deliveries.set(key, [...(deliveries.get(key) ?? []), delivery]);
      onDelivery(delivery);
    }
    await lasts();
    if (silent) throw new Error("socket hang up");
    return { ok: true, text: `sent ${args.n}` };
  }
  async function probe(context: ToolContext): Promise<Probed> {
    const there = deliveries.has(context.idempotencyKey);
    if (!there) count(probedAbsent, context.idempotencyKey);
    await lasts();
    if (random.chance(faults.silences)) throw new Error("probe failed");
    return there ? { kind: "done", text: "it is there" } : { kind: "not_done" };
  }
  const external = (name: keyof typeof externalTools): Tool<z.output<typeof input>> => ({
    name,
    version: "1",
    description: `${name} something to somebody`,
    effect: "external",
    timeoutMs,
    input,
    run: (args, context) => send(name, args, context),
    ...(externalTools[name] === "deduplicates" && { deduplicates: true }),
    ...(externalTools[name] === "probed" && { reconcile: (_: unknown, context: ToolContext) => probe(context) }),
  });

  const tools = [
    pure("look"),
    stored("append", "file"),
    stored("write", "file"),
    stored("note", "note"),
    external("mail"),
    external("post"),
    external("order"),
  ];
  return {
    skills: [
      { name: "things", description: "things to do", tools: tools as unknown as readonly Tool<never>[] },
      createWaitingSkill(() => world.now),
    ],
    deliveries,
    refused,
    probedAbsent,
  };
}
