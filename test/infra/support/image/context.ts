/** What a build is sent: the files of the checkout that .dockerignore lets through. */
import { readFileSync } from "node:fs";
import { cp, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import dockerignore from "@balena/dockerignore";

/** The checkout. */
export const rootPath = fileURLToPath(new URL("../../../../", import.meta.url));

const rules = readFileSync(join(rootPath, ".dockerignore"), "utf8");
// Its types promise an ES module, where it is a function.
const ignore = dockerignore as unknown as typeof dockerignore.default;
const filter = ignore({ ignorecase: false }).add(rules);
const exceptions = rules
  .split("\n")
  .filter((line) => line.startsWith("!"))
  .map((line) => line.slice(1));

export function isSent(path: string): boolean {
  return !filter.ignores(path);
}

/** Paths relative to the checkout. */
export async function contextFiles(folder = ""): Promise<readonly string[]> {
  const entries = await readdir(join(rootPath, folder), { withFileTypes: true });
  const nested = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return isSent(path) || leadsToException(path) ? contextFiles(path) : [];
      return isSent(path) ? [path] : [];
    }),
  );
  return nested.flat();
}

export async function copyContext(to: string): Promise<void> {
  for (const path of await contextFiles()) {
    await mkdir(dirname(join(to, path)), { recursive: true });
    await cp(join(rootPath, path), join(to, path), { verbatimSymlinks: true });
  }
}

// A folder that is left out is gone through where an exception may stand in it, as a builder does.
function leadsToException(folder: string): boolean {
  const parts = folder.split("/");
  return exceptions.some((exception) => {
    const wanted = exception.split("/");
    return parts.every((part, index) => wanted[index] === "*" || wanted[index] === "**" || wanted[index] === part);
  });
}
