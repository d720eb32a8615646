/** The first admin key: from OUTERLOOP_API_KEY, or made once and kept in a file that only its owner reads. */
import { chmod, link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { defaultTenant, ensureAdminKey, generateKey, OuterloopError, type Runtime } from "@outerloop/core";

export interface FirstKey {
  readonly key: string;
  /** The file that holds it; null where it came from the environment. */
  readonly path: string | null;
}

const ownerOnly = 0o600;

/** Safe to repeat, and for processes that start at once: the first to write the file decides. */
export async function ensureFirstKey(
  runtime: Pick<Runtime, "db" | "createId"> & { readonly config: Pick<Runtime["config"], "apiKey" | "dataDir"> },
): Promise<FirstKey> {
  const { db, createId, config } = runtime;
  const path = config.apiKey === null ? join(config.dataDir, "api-key") : null;
  const key = config.apiKey ?? (await readOrMake(path!));
  await ensureAdminKey(db, defaultTenant, key, createId);
  return { key, path };
}

async function readOrMake(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  const made = generateKey();
  // Written aside and linked, so that nobody ever reads half of it.
  const aside = `${path}.${process.pid}.${made.slice(-8)}`;
  try {
    await writeFile(aside, `${made}\n`, { flag: "wx", mode: ownerOnly, flush: true });
    await link(aside, path);
    return made;
  } catch (thrown) {
    if (!(thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST")) throw thrown;
  } finally {
    await rm(aside, { force: true });
  }
  await chmod(path, ownerOnly);
  const key = (await readFile(path, "utf8")).trim();
  if (key === "")
    throw new OuterloopError("config", `${path} is empty. Delete it, and a new key is made at the next start.`);
  return key;
}
