/**
 * A server for one command where none is running: it opens the embedded database, answers, and ends with the command. It
 * runs no goals. So what a run prints last, `outerloop show GOAL`, works after it too.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { statOrNull } from "./attachments/stat.ts";
import { UserError } from "./exit.ts";

export interface Viewer {
  readonly url: string;
  readonly apiKey: string;
  close(): Promise<void>;
}

const openedSchema = z.object({ url: z.url(), apiKey: z.string() });

/** undefined where there is no embedded database to open. */
export async function openViewer(dataDir: string, root: string, env: NodeJS.ProcessEnv): Promise<Viewer | undefined> {
  if (env["DATABASE_URL"] || (await statOrNull(join(dataDir, "db", "PG_VERSION"))) === null) return undefined;
  const child = spawn(process.execPath, [join(root, "services/embedded/src/main.ts"), "--view"], {
    cwd: root,
    env: { ...env, OUTERLOOP_DATA_DIR: dataDir, HOST: "127.0.0.1", PORT: "0" },
    // It lives as long as its input is open: however this process ends, it ends too.
    stdio: ["pipe", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-2000)));
  const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), "line"), exited])) as [unknown];
  const opened = openedSchema.safeParse(typeof line === "string" ? JSON.parse(line) : undefined);
  if (!opened.success) throw new UserError(`The data in ${dataDir} could not be opened. ${said.trim()}`);
  return {
    ...opened.data,
    close: async () => {
      child.stdin.end();
      await exited;
    },
  };
}
