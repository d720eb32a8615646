/** A skill whose one tool ends its process, in each of the ways there are, or holds it. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { z } from "zod";

const ways = {
  exit: () => process.exit(3),
  kill: () => process.kill(process.pid, "SIGKILL"),
  loop: () => {
    // Ends with the process: that is the point of it.
    for (;;);
  },
  heap: () => {
    const kept: unknown[] = [];
    for (;;) kept.push(Array.from({ length: 1000 }, () => ({ kept: kept.length })));
  },
  throw: () => {
    setImmediate(() => {
      throw new Error("thrown where nobody catches it");
    });
  },
} as const;

export default {
  name: "misbehave",
  description: "For tests.",
  tools: [
    {
      name: "misbehave",
      version: "1",
      description: "Ends its process.",
      effect: "pure",
      timeoutMs: 600_000,
      input: z.object({ how: z.enum(["exit", "kill", "loop", "heap", "throw"]) }),
      async run({ how }: { how: keyof typeof ways }) {
        ways[how]();
        return new Promise(() => undefined);
      },
    },
    {
      name: "hold",
      version: "1",
      description: "Starts a process, writes its id and its own to a file, and stands still.",
      effect: "pure",
      timeoutMs: 600_000,
      input: z.object({ file: z.string() }),
      async run({ file }: { file: string }) {
        const child = spawn("sleep", ["600"], { stdio: "ignore" });
        writeFileSync(file, `${process.pid} ${child.pid}`);
        for (;;);
      },
    },
  ],
};
