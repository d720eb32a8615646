/** What `REDIS_URL` and its companions say: one Redis, the sentinels of one, or the nodes of a Cluster. */
import { z } from "zod";

export const redisModes = ["single", "sentinel", "cluster"] as const;

export interface RedisSettings {
  readonly mode: (typeof redisModes)[number];
  /** The Redis itself, its sentinels, or nodes of the Cluster that know the others. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly username: string | null;
  readonly password: string | null;
  readonly db: number;
  readonly tls: boolean;
  /** What the sentinels call the master, and their own password. */
  readonly sentinel: { readonly name: string; readonly password: string | null };
}

/** A problem of one variable. Values are not repeated: they hold passwords. */
export interface RedisProblem {
  readonly field: string;
  readonly message: string;
}

const port = z.coerce.number().int().min(1).max(65_535);
const database = z.coerce.number().int().min(0).max(1_000_000);
const defaultPort = 6379;
const defaultSentinelPort = 26_379;

/**
 * @param values `REDIS_URL`: `redis[s]://[user:password@]host[:port][/db]`, several with commas between them where the mode is
 *   not `single`; user, password, database and TLS are those of the first
 */
export function parseRedisSettings(values: {
  readonly REDIS_URL: string;
  readonly REDIS_MODE: RedisSettings["mode"];
  readonly REDIS_SENTINEL_NAME: string;
  readonly REDIS_SENTINEL_PASSWORD?: string | undefined;
}): RedisSettings | RedisProblem {
  const mode = values.REDIS_MODE;
  const urls: URL[] = [];
  // A password may have a comma in it, where only one URL is meant.
  for (const part of mode === "single" && !/,\s*rediss?:/.test(values.REDIS_URL)
    ? [values.REDIS_URL]
    : values.REDIS_URL.split(",")) {
    const text = part.trim();
    if (!/^rediss?:\/\//.test(text)) return problem("must begin with redis:// or rediss://");
    const url = URL.parse(text);
    if (url === null || url.hostname === "") return problem("is no URL with a host in it");
    urls.push(url);
  }
  const [first] = urls;
  if (first === undefined) return problem("is empty");
  if (mode === "single" && urls.length > 1)
    return problem("names several servers: set REDIS_MODE to cluster or sentinel");
  const db = database.safeParse(first.pathname.slice(1) || "0");
  if (!db.success) return problem("must end with the number of a database, such as /0, or with none");
  if (mode === "cluster" && db.data !== 0) return problem("names a database: a Cluster has only the first");
  const nodes: { host: string; port: number }[] = [];
  for (const url of urls) {
    const parsed = port.safeParse(url.port || (mode === "sentinel" ? defaultSentinelPort : defaultPort));
    if (!parsed.success) return problem("names a port that is none");
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    nodes.push({ host: url.hostname.replace(/^\[(.*)\]$/, "$1"), port: parsed.data });
  }
  const [username, password] = [decode(first.username), decode(first.password)];
  if (username === undefined || password === undefined)
    return problem("has a user or password that is not percent-encoded: a % in it is written %25");
  if (first.search !== "") return problem("has options after a ?, of which none is known");
  return {
    mode,
    nodes,
    username,
    password,
    db: db.data,
    tls: first.protocol === "rediss:",
    sentinel: { name: values.REDIS_SENTINEL_NAME, password: values.REDIS_SENTINEL_PASSWORD ?? null },
  };
}

/** null for an empty one, undefined for one that cannot be decoded. */
function decode(text: string): string | null | undefined {
  if (text === "") return null;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function problem(message: string): RedisProblem {
  return { field: "REDIS_URL", message };
}
