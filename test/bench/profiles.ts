/** Reads a CPU profile as Node writes it (`--cpu-prof`): which functions a process's time went into. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";

const root = fileURLToPath(new URL("../../", import.meta.url));

const profileSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.int(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.int() }),
    }),
  ),
  samples: z.array(z.int()),
  timeDeltas: z.array(z.number()),
});

export interface ProfiledFunction {
  readonly name: string;
  readonly selfMs: number;
}

/** Without the time in which it had nothing to do. */
export function topFunctions(file: string, limit: number): readonly ProfiledFunction[] {
  const profile = profileSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  const names = new Map(
    profile.nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      url === "" ? functionName : `${functionName || "(anonymous)"} ${shorten(url)}:${lineNumber + 1}`,
    ]),
  );
  const selfMs = new Map<string, number>();
  profile.samples.forEach((id, index) => {
    const name = names.get(id) ?? "?";
    selfMs.set(name, (selfMs.get(name) ?? 0) + profile.timeDeltas[index]! / 1000);
  });
  return [...selfMs]
    .filter(([name]) => !["(idle)", "(root)"].includes(name))
    .map(([name, ms]) => ({ name, selfMs: ms }))
    .toSorted((a, b) => b.selfMs - a.selfMs)
    .slice(0, limit);
}

function shorten(url: string): string {
  const path = url.startsWith("file://") ? fileURLToPath(url) : url;
  return path.replace(root, "").replace(/^.*node_modules\//, "");
}
