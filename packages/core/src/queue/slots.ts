/** Counts tasks in work, since a job may carry up to eight (W7). */
export class Slots {
  readonly size: number;
  #used = 0;
  #waiting: (() => void)[] = [];

  constructor(size: number) {
    this.size = size;
  }

  get free(): number {
    return this.size - this.#used;
  }

  get used(): number {
    return this.#used;
  }

  take(count: number): void {
    this.#used += count;
  }

  give(count: number): void {
    this.#used -= count;
    if (this.free > 0) for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when so many slots are free or the signal aborts. */
  async whenFree(count: number, signal: AbortSignal): Promise<void> {
    // Ends when enough are free: every `give` wakes all who wait.
    while (this.free < count && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }
}
