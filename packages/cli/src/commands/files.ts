import { basename, dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { statOrNull } from "../attachments/stat.ts";
import { readText } from "../attachments/sniff.ts";
import { UserError } from "../exit.ts";
import { safePath, saveBelow, shownPath } from "../save-files.ts";
import { goalIdOf } from "../short-id.ts";
import { printableBlock, printableJson, printableLine } from "../text/printable.ts";
import { fileLines } from "../view/file-lines.ts";
import type { Context, GlobalOptions } from "./context.ts";

export function addFiles(program: Command, context: Context): void {
  program
    .command("files")
    .description("the files of a goal; with a path, that file's content")
    .argument("<goal>", "its id, or the beginning of it")
    .argument("[path]", "one file")
    .option("-o, --output <path>", "save it there instead of printing it")
    .action(async (typed: string, path: string | undefined, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & { output?: string }>();
      if (path === undefined && flags.output !== undefined)
        throw new UserError("Which file is to be saved? outerloop files GOAL PATH -o …");
      const { client } = await context.connect({ ...flags, opensData: true });
      const id = goalIdOf(typed);
      if (path === undefined) {
        const files = await client.goals.artifacts(id);
        return context.print(...(flags.json === true ? [printableJson(files, 2)] : fileLines(files)));
      }
      const bytes = await client.goals.artifact(id, path);
      if (flags.output !== undefined)
        return context.print(`Saved ${shownPath(await save(context.cwd, flags.output, path, bytes), context.cwd)}`);
      print(context, path, bytes);
    });
}

/** Into a folder under the file's own name, else under the name that was given. */
async function save(cwd: string, output: string, path: string, bytes: Uint8Array): Promise<string> {
  const target = resolve(cwd, output);
  const isFolder = output.endsWith("/") || (await statOrNull(target))?.isDirectory() === true;
  return isFolder
    ? saveBelow(target, basename(safePath(path)), bytes)
    : saveBelow(dirname(target), basename(join("/", target)), bytes);
}

/** A pipe gets the bytes as they are; a terminal only what cannot do anything to it. */
function print(context: Context, path: string, bytes: Uint8Array): void {
  if (context.out.isTTY !== true) return void context.out.write(bytes);
  const read = readText(path, bytes);
  if ("notText" in read) throw new UserError(`${printableLine(path)} is no text: save it with -o.`);
  context.print(printableBlock(read.text).replace(/\n$/, ""));
}
