/** Ctrl-C, as something that a run is handed. */
export interface Interrupts {
  /** @returns how to stop listening */
  listen(listener: () => void): () => void;
  /** Ends the process now. */
  quit(exitCode: number): void;
}

export const processInterrupts: Interrupts = {
  listen(listener) {
    process.on("SIGINT", listener);
    return () => void process.off("SIGINT", listener);
  },
  quit: (exitCode) => process.exit(exitCode),
};
