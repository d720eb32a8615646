/** pino with a constant event name and ids; no prompts, secrets or personal data. */
import { createHash } from "node:crypto";
import { pino, type Logger as PinoLogger } from "pino";
import { createLogTurns } from "./log-turns.ts";
import { createRedactor, type Redactor } from "./redaction.ts";

/** `flush`: for who is about to end the process in a way that runs nothing more. */
export type Logger = Pick<PinoLogger, "debug" | "info" | "warn" | "error" | "child" | "flush">;

/**
 * The trace that everything about a goal belongs to, in whichever process: 16 bytes in hex, as W3C Trace Context has it.
 * Derived from the goal's id, so nobody needs to hand it on.
 */
export function traceIdOf(goalId: string): string {
  return createHash("sha256").update(goalId).digest("hex").slice(0, 32);
}

const secretPaths = ["*.apiKey", "*.authorization", "*.password", "*.token"];

/**
 * @param destination stderr for a run in a terminal, where stdout is the story; stdout for a service
 * @param redactor looks through every line, whatever field something stands in
 */
export function createLogger(
  service: string,
  level: string,
  destination: 1 | 2 = 1,
  redactor: Pick<Redactor, "line"> = createRedactor([]),
): Logger {
  return pino(
    {
      name: service,
      level,
      base: { service, pid: process.pid },
      redact: { paths: secretPaths, censor: "[redacted]" },
      hooks: { streamWrite: (line) => redactor.line(line) },
    },
    createLogTurns(pino.destination({ fd: destination, sync: true })),
  );
}
