/** Time as the screen needs it; tests bring their own. */
export interface Clock {
  /** Milliseconds; only goes forward. */
  now(): number;
  /** @returns how to call it off */
  after(ms: number, run: () => void): () => void;
}

export const realClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
