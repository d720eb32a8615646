/**
 * Virtual time and simulated processes. Everything that happens is an event of a queue ordered by time; between two events
 * all promises settle. What a process set in motion dies with it, and waits while it is stopped.
 *
 * While a world runs, the timers, the clock and the randomness of this JavaScript realm are its own.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Random } from "./random.ts";

export interface SimulatedProcess {
  readonly name: string;
  alive: boolean;
  /** Stopped until then (SIGSTOP): it goes on later and knows nothing of the time between. */
  stoppedUntil: number;
}

/** On whose behalf code runs. */
export interface Actor {
  readonly process: SimulatedProcess;
  /** The claim that it works on, where it works on one. */
  readonly claim?: { readonly kind: "task" | "goal"; readonly id: string; readonly fence: number };
}

interface Event {
  at: number;
  readonly order: number;
  readonly actor: Actor | null;
  readonly run: () => void;
  cancelled: boolean;
}

/** An hour before a midnight of UTC. */
const beginning = Date.UTC(2026, 0, 1, 23);

const realImmediate = setImmediate;
const actors = new AsyncLocalStorage<Actor>();

/** Who runs now; null for the simulator itself. */
export const currentActor = (): Actor | null => actors.getStore() ?? null;
export const runAs = <Result>(actor: Actor, run: () => Result): Result => actors.run(actor, run);

export class World {
  readonly random: Random;
  #now = beginning;
  #order = 0;
  /** A binary heap by time, then by order of scheduling. */
  readonly #heap: Event[] = [];
  events = 0;

  constructor(random: Random) {
    this.random = random;
  }

  get now(): number {
    return this.#now;
  }
  /** Since the beginning. */
  get elapsedMs(): number {
    return this.#now - beginning;
  }

  /** An instant that nothing else has happened at. */
  tick(): number {
    this.#now += 1;
    return this.#now;
  }

  after(delayMs: number, actor: Actor | null, run: () => void): { cancel(): void } {
    const event: Event = {
      at: this.#now + Math.max(0, Math.ceil(delayMs)),
      order: this.#order++,
      actor,
      run,
      cancelled: false,
    };
    this.#push(event);
    return { cancel: () => void (event.cancelled = true) };
  }

  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, currentActor(), resolve));
  }

  /**
   * Runs events until `isOver` says so or there are none.
   * @param between is called after each event, when all that it set in motion has settled
   */
  async run(isOver: () => boolean, between?: () => Promise<void> | undefined): Promise<void> {
    while (!isOver()) {
      const event = this.#pop();
      if (event === undefined) return;
      if (event.cancelled) continue;
      const { actor } = event;
      if (actor !== null && !actor.process.alive) continue;
      if (actor !== null && actor.process.stoppedUntil > event.at) {
        // Its turn comes when it goes on, in the same order as now.
        event.at = actor.process.stoppedUntil;
        this.#push(event);
        continue;
      }
      this.#now = Math.max(this.#now, event.at);
      this.events += 1;
      if (actor === null) event.run();
      else actors.run(actor, event.run);
      await new Promise((resolve) => realImmediate(resolve));
      await between?.();
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const isBefore = (a: Event, b: Event) => a.at < b.at || (a.at === b.at && a.order < b.order);

export interface Realm {
  /** Puts this realm on the world's time and randomness. */
  enter(): void;
  /** Gives it its own back; what was set in motion stays in the world. */
  leave(): void;
}

export function createRealm(world: World): Realm {
  const saved = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval,
    Date: globalThis.Date,
    random: Math.random,
  };
  const realNow = Object.getOwnPropertyDescriptor(performance, "now");

  class VirtualTimer {
    #pending: { cancel(): void } | null = null;
    readonly #fire: () => void;
    readonly #delayMs: number;
    readonly #repeats: boolean;
    readonly #actor = currentActor();

    constructor(fire: () => void, delayMs: number, repeats: boolean) {
      this.#fire = fire;
      this.#delayMs = Math.max(1, delayMs || 0);
      this.#repeats = repeats;
      this.refresh();
    }
    refresh(): this {
      this.#pending?.cancel();
      this.#pending = world.after(this.#delayMs, this.#actor, () => {
        if (this.#repeats) this.refresh();
        this.#fire();
      });
      return this;
    }
    clear(): void {
      this.#pending?.cancel();
    }
    ref(): this {
      return this;
    }
    unref(): this {
      return this;
    }
    hasRef(): boolean {
      return true;
    }
  }
  const begin =
    (repeats: boolean) =>
    (run: (...args: unknown[]) => void, delayMs: number, ...args: unknown[]) =>
      new VirtualTimer(() => run(...args), delayMs, repeats);
  const end = (timer: unknown) => {
    if (timer instanceof VirtualTimer) timer.clear();
  };
  class VirtualDate extends saved.Date {
    constructor(...args: [] | [number]) {
      super(...((args.length === 0 ? [world.now] : args) as [number]));
    }
    static override now(): number {
      return world.now;
    }
    static override [Symbol.hasInstance](value: unknown): boolean {
      return Object.prototype.toString.call(value) === "[object Date]";
    }
  }
  return {
    enter() {
      Object.assign(globalThis, {
        setTimeout: begin(false),
        setInterval: begin(true),
        clearTimeout: end,
        clearInterval: end,
        Date: VirtualDate,
      });
      Math.random = () => world.random.next();
      Object.defineProperty(performance, "now", {
        configurable: true,
        writable: true,
        value: () => world.elapsedMs,
      });
    },
    leave() {
      const { random, ...globals } = saved;
      Object.assign(globalThis, globals);
      Math.random = random;
      if (realNow === undefined) delete (performance as { now?: unknown }).now;
      else Object.defineProperty(performance, "now", realNow);
    },
  };
}
