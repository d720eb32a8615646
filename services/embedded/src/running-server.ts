/** Finds the server that holds the data folder, which may still be starting. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { OuterloopError, type Config } from "@outerloop/core";
import { z } from "zod";

const addressSchema = z.object({ url: z.string(), pid: z.int() });

/** A first start on a slow machine takes this long. */
const patienceMs = 60_000;

export interface RunningServer {
  readonly url: string;
  readonly apiKey: string;
}

/** @throws OuterloopError `config` where it does not answer */
export async function findServer({ dataDir, apiKey }: Config, pid: number): Promise<RunningServer> {
  const deadline = Date.now() + patienceMs;
  while (Date.now() < deadline) {
    try {
      const address = addressSchema.parse(JSON.parse(await readFile(join(dataDir, "server.json"), "utf8")));
      const response = await fetch(new URL("/healthz", address.url), { signal: AbortSignal.timeout(2000) });
      if (address.pid === pid && response.ok)
        return { url: address.url, apiKey: apiKey ?? (await readFile(join(dataDir, "api-key"), "utf8")).trim() };
    } catch {
      // Not there yet, or of an earlier process.
    }
    await setTimeout(200);
  }
  throw new OuterloopError(
    "config",
    `Process ${pid} holds ${dataDir} but its server does not answer. Stop it (kill ${pid}) and start again.`,
  );
}
