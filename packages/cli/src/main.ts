/** `outerloop COMMAND …`. */
import { fileURLToPath } from "node:url";
import { createContext } from "./commands/context.ts";
import { userFolder } from "./connection.ts";
import { processInterrupts } from "./interrupts.ts";
import { runProgram } from "./program.ts";

// `outerloop list | head` closes the pipe: nothing is left to say.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

const context = createContext({
  env: process.env,
  cwd: userFolder(process.env, process.cwd()),
  root: fileURLToPath(new URL("../../..", import.meta.url)),
  out: process.stdout,
  err: process.stderr,
  interrupts: processInterrupts,
  readStdin: async () => Buffer.concat(await process.stdin.toArray()).toString("utf8"),
  exitWith: (code) => (process.exitCode = code),
});

await runProgram(context, process.argv.slice(2));
