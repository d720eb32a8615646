/**
 * Whether a process still does what it is there for, as a liveness probe asks: each of its loops tells its turns, and one that
 * has not turned for too long stands still. A process whose loops turn but find Postgres or Redis away lives: a restart would
 * mend nothing and cost what it is working on.
 */
export interface Progress {
  /** A loop that begins now. */
  loop(name: string, options?: LoopOptions): Loop;
  /** Which loops stand still, and for how long. */
  standing(): Promise<readonly Standing[]>;
}

export interface LoopOptions {
  /** How long it rests between turns where nothing is wrong. */
  readonly everyMs?: number;
  /** Whether what it waits for is there: while this fails, it does not stand still but waits. */
  readonly waitsFor?: () => Promise<unknown>;
}

export interface Loop {
  turn(): void;
  /** It waits for something that may rightly take any time; until its next turn it cannot stand still. */
  rest(): void;
  end(): void;
}

export interface Standing {
  readonly loop: string;
  readonly ms: number;
}

/**
 * @param stallMs a loop without a turn for this long, beyond its own rests, stands still
 * @param now milliseconds of a clock that never goes back
 */
export function createProgress(stallMs: number, now: () => number = () => performance.now()): Progress {
  const loops = new Set<{ name: string; options: LoopOptions; since: number; rests: boolean }>();
  return {
    loop(name, options = {}) {
      const state = { name, options, since: now(), rests: false };
      loops.add(state);
      return {
        turn: () => Object.assign(state, { since: now(), rests: false }),
        rest: () => Object.assign(state, { rests: true }),
        end: () => loops.delete(state),
      };
    },
    async standing() {
      const late = [...loops].filter(
        ({ rests, since, options }) => !rests && now() - since > stallMs + (options.everyMs ?? 0),
      );
      const standing: Standing[] = [];
      for (const state of late) {
        const { since } = state;
        const isThere =
          (await state.options.waitsFor?.().then(
            () => true,
            () => false,
          )) ?? true;
        // What it waits for may come back in this moment: it has its time from then on.
        if (!isThere) state.since = Math.max(state.since, now());
        else if (state.since === since && !state.rests)
          standing.push({ loop: state.name, ms: Math.round(now() - since) });
      }
      return standing;
    },
  };
}
