/** Which server a command talks to, and with which key: said by hand, or found in the data folder of a running one. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createClient, type Client } from "@outerloop/client";
import { z } from "zod";
import { statOrNull } from "./attachments/stat.ts";
import { UserError } from "./exit.ts";
import { shownPath } from "./save-files.ts";
import { printableLine } from "./text/printable.ts";
import { openViewer } from "./viewer.ts";

export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  /** Where the user stands. */
  readonly cwd: string;
  /** Of the checkout that this file is in. */
  readonly root: string;
}

export interface ConnectionOptions {
  readonly url?: string | undefined;
  readonly key?: string | undefined;
  /** Whether the command only looks, so that data without a server can be opened for it. */
  readonly opensData?: boolean;
}

export interface Connection {
  readonly client: Client;
  readonly dataDir: string;
  /** Where the server was opened for this command alone. */
  close?(): Promise<void>;
}

const dataFolder = ".outerloop";
/** A server that runs writes it into its data folder, and takes it away when it stops. */
const serverFile = "server.json";
const serverFileSchema = z.object({
  url: z.url({ protocol: /^https?$/ }),
  pid: z.int(),
  instance: z.string().optional(),
});

const notRunning = "No server is running. Start one: npm start";

/** npm and npx change to the checkout; the scripts that they start say where the user stood. */
export function userFolder(env: NodeJS.ProcessEnv, cwd: string): string {
  return env["OUTERLOOP_CWD"] || cwd;
}

export async function findDataDir({ env, cwd, root }: Surroundings): Promise<string> {
  const name = env["OUTERLOOP_DATA_DIR"] || dataFolder;
  const places = [resolve(cwd, name), resolve(root, name)];
  for (const folder of places) if ((await statOrNull(join(folder, serverFile)))?.isFile() === true) return folder;
  // Without a server: whatever is there, else where one would put it.
  for (const folder of places) if ((await statOrNull(folder))?.isDirectory() === true) return folder;
  return resolve(root, name);
}

/** @throws UserError where no server can be found or no key for it */
export async function connect(options: ConnectionOptions, surroundings: Surroundings): Promise<Connection> {
  const { env, cwd } = surroundings;
  const dataDir = await findDataDir(surroundings);
  const key = options.key || env["OUTERLOOP_API_KEY"];
  const named = options.url || env["OUTERLOOP_URL"];
  if (named !== undefined && named !== "") {
    const baseUrl = readUrl(named);
    // The key of the server on this machine is nobody else's.
    const apiKey = key || (isLoopback(baseUrl) ? await readKey(dataDir) : undefined);
    if (apiKey === undefined)
      throw new UserError(`A key is needed for ${printableLine(named)}: --key or OUTERLOOP_API_KEY.`);
    return { client: createClient({ baseUrl, apiKey }), dataDir };
  }

  const server = await readServerFile(dataDir);
  if (server === undefined) {
    const viewer = options.opensData === true ? await openViewer(dataDir, surroundings.root, env) : undefined;
    if (viewer === undefined) throw new UserError(notRunning);
    return { client: createClient({ baseUrl: viewer.url, apiKey: viewer.apiKey }), dataDir, close: viewer.close };
  }
  // Another program may have its port by now, and would be handed the key.
  const health = await createClient({ baseUrl: server.url, timeoutMs: 5000 })
    .health()
    .catch(() => undefined);
  if (health === undefined || health.instance !== (server.instance ?? health.instance))
    throw new UserError(
      `${notRunning}\n(${shownPath(join(dataDir, serverFile), cwd)} names ${printableLine(server.url)}, ${health === undefined ? "which does not answer" : "where another one answers"}.)`,
    );
  const apiKey = key || (await readKey(dataDir));
  if (apiKey === undefined)
    throw new UserError(
      `There is no key in ${shownPath(join(dataDir, "api-key"), cwd)}: give one with --key or OUTERLOOP_API_KEY.`,
    );
  return { client: createClient({ baseUrl: server.url, apiKey }), dataDir };
}

function readUrl(text: string): string {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new UserError(
      `"${printableLine(text)}" is not the address of a server: they look like http://127.0.0.1:4000`,
    );
  return url.href;
}

function isLoopback(url: string): boolean {
  const host = new URL(url).hostname;
  return host === "localhost" || host === "[::1]" || /^127(\.\d+){3}$/.test(host);
}

async function readKey(dataDir: string): Promise<string | undefined> {
  const text = await readFile(join(dataDir, "api-key"), "utf8").catch(() => "");
  return text.trim() || undefined;
}

async function readServerFile(dataDir: string): Promise<z.output<typeof serverFileSchema> | undefined> {
  const text = await readFile(join(dataDir, serverFile), "utf8").catch(() => "");
  try {
    return serverFileSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
