/**
 * The configuration file: what does not fit into variables. YAML and JSON are read as they are; a module (`.ts`, `.mjs`) is run
 * in a process of its own, whose default export is the configuration, so that it is as fresh at every look as a file of data
 * and can do nothing to this process.
 */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, readFileSync, unwatchFile, watchFile } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, extname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";
import { z } from "zod";
import { messageOf, OuterloopError } from "./domain/errors.ts";
import { modelsFileSchema } from "./models/routing/settings.ts";

export const configFileSchema = z.strictObject({ models: modelsFileSchema.optional() });
export type ConfigFile = z.output<typeof configFileSchema>;

const extensions = [".yaml", ".yml", ".json", ".ts", ".mts", ".mjs", ".js"] as const;
const modules = new Set<string>([".ts", ".mts", ".mjs", ".js"]);
const maxBytes = 1024 * 1024;
/** Of a module that computes the configuration. */
const runMs = 15_000;
const lookEveryMs = 1000;
/** Of what a module that failed says. */
const maxSaidChars = 1000;
/** Prints what the module exports, and ends whatever it left open; a module that writes to the terminal does so on stderr. */
const printExport = `
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = process.stderr.write.bind(process.stderr);
  const { default: config } = await import(process.argv[1]);
  const text = JSON.stringify(typeof config === "function" ? await config() : config) ?? "";
  write(text, () => process.exit());`;
const moduleArgs = (path: string) => ["--no-warnings", "--input-type=module", "--eval", printExport, path];
const moduleOptions = (timeout: number) =>
  ({ timeout, killSignal: "SIGKILL", maxBuffer: maxBytes, encoding: "utf8" }) as const;
const run = promisify(execFile);

/**
 * Where it is: what OUTERLOOP_CONFIG says, else the one `outerloop.config.*` in the folder; null where there is none.
 * @throws OuterloopError `config`
 */
export function findConfigFile(said: string | undefined, cwd: string): string | null {
  if (said !== undefined) {
    const path = resolve(cwd, said);
    if (!(extensions as readonly string[]).includes(extname(path)))
      throw new OuterloopError("config", `OUTERLOOP_CONFIG: ${said} is none of ${extensions.join(", ")}`);
    if (existsSync(path)) return path;
    throw new OuterloopError("config", `OUTERLOOP_CONFIG: there is no file ${said}`);
  }
  const found = extensions
    .map((extension) => join(cwd, `outerloop.config${extension}`))
    .filter((path) => existsSync(path));
  if (found.length <= 1) return found[0] ?? null;
  throw new OuterloopError(
    "config",
    `There are ${found.map((path) => basename(path)).join(" and ")}: keep one, or name it in OUTERLOOP_CONFIG.`,
  );
}

/**
 * @param mostMs how long a module may run
 * @throws OuterloopError `config`, saying where it is wrong
 */
export function readConfigFile(path: string, mostMs = runMs): ConfigFile {
  try {
    const text = modules.has(extname(path))
      ? execFileSync(process.execPath, moduleArgs(path), {
          ...moduleOptions(mostMs),
          stdio: ["ignore", "pipe", "pipe"],
        })
      : readFileSync(path, "utf8");
    return parseConfig(path, text);
  } catch (thrown) {
    throw unreadable(path, mostMs, thrown);
  }
}

/** As `readConfigFile`, without holding up the process. */
export async function reloadConfigFile(path: string, mostMs = runMs): Promise<ConfigFile> {
  try {
    const text = modules.has(extname(path))
      ? (await run(process.execPath, moduleArgs(path), moduleOptions(mostMs))).stdout
      : await readFile(path, "utf8");
    // Whoever writes it has only cut it off so far, or has taken it away: both are looked at again.
    if (text.trim() === "") throw new OuterloopError("config", `${basename(path)} is empty`);
    return parseConfig(path, text);
  } catch (thrown) {
    throw unreadable(path, mostMs, thrown);
  }
}

function parseConfig(path: string, text: string): ConfigFile {
  if (text.length > maxBytes) throw new OuterloopError("config", `${basename(path)} is over 1 MiB`);
  // JSON is YAML, and a module's export was printed as JSON.
  const read = configFileSchema.safeParse(parse(text, { maxAliasCount: 100 }) ?? {});
  if (read.success) return read.data;
  throw new OuterloopError("config", `${basename(path)}:\n${z.prettifyError(read.error)}`);
}

function unreadable(path: string, mostMs: number, thrown: unknown): OuterloopError {
  if (thrown instanceof OuterloopError) return thrown;
  return new OuterloopError("config", `${basename(path)} cannot be read: ${whyUnreadable(mostMs, thrown)}`);
}

/** What the system says of a child that it ended repeats its whole command. */
function whyUnreadable(mostMs: number, thrown: unknown): string {
  const { stderr, code, killed } = thrown as { stderr?: unknown; code?: unknown; killed?: unknown };
  if (code === "ENOBUFS" || code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER") return "it says more than 1 MiB";
  if (code === "ETIMEDOUT" || killed === true) return `it did not end within ${mostMs / 1000} s`;
  const said = typeof stderr === "string" && stderr !== "" ? stderr : messageOf(thrown);
  return said.trim().slice(0, maxSaidChars);
}

/** Looked at by its state, not by the system's events: these miss the mounted files that Kubernetes swaps. @returns ends it */
export function watchConfigFile(path: string, onChange: () => void): () => void {
  const listener = (now: { mtimeMs: number; ino: number }, before: { mtimeMs: number; ino: number }) => {
    if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) onChange();
  };
  watchFile(path, { interval: lookEveryMs, persistent: false }, listener);
  return () => unwatchFile(path, listener);
}
