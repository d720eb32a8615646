/**
 * Gathers the log lines of one turn of the event loop and writes them with one write, synchronously, at its end: a line
 * cost a system call before, some ten of them a goal and process.
 *
 * 1. Lines keep their order, and those of a turn are one write.
 * 2. What ends the process by itself (`process.exit`, an uncaught error, a drain) loses nothing; SIGKILL loses one turn.
 * 3. Memory is bounded: a turn that has much to say writes more than once.
 */
export interface LogTurns {
  write(line: string): void;
  /** As pino's own destinations have it. */
  flush(done?: () => void): void;
  /** pino calls it for a fatal line. */
  flushSync(): void;
}

/** Beyond this, one write more costs little beside what it writes. */
export const maxGatheredChars = 64 * 1024;

/** @param destination whose `write` has written when it returns */
export function createLogTurns(destination: { write(text: string): unknown }): LogTurns {
  let gathered = "";
  let endOfTurn: NodeJS.Immediate | undefined;

  function flushSync(): void {
    if (gathered === "") return;
    const text = gathered;
    gathered = "";
    clearImmediate(endOfTurn);
    process.removeListener("exit", flushSync);
    destination.write(text);
  }

  return {
    write(line) {
      if (gathered === "") {
        // After the sockets' callbacks of this turn, each of which may have a line.
        endOfTurn = setImmediate(flushSync);
        // Only while there is something to lose, so that a logger that nobody uses any more is held by nothing.
        process.once("exit", flushSync);
      }
      gathered += line;
      if (gathered.length >= maxGatheredChars) flushSync();
    },
    flush(done) {
      flushSync();
      done?.();
    },
    flushSync,
  };
}
