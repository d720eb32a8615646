/**
 * `npm start`: everything in one process. With a goal it runs it, shows it live and exits 0, or 1 with the reason;
 * without one it serves until Ctrl-C. Where a server runs on the same data already, the goal is handed to that one.
 */
import { once } from "node:events";
import { createRedactor, messageOf, OuterloopError, readConfig, stopSignal, type Config } from "@outerloop/core";
import { createClient } from "@outerloop/client";
import {
  collectAttachments,
  explainError,
  readRunArguments,
  runGoal,
  type Attachments,
  type RunArguments,
} from "@outerloop/cli";
import { lockData } from "./data-lock.ts";
import { findServer } from "./running-server.ts";
import { startEmbedded } from "./server.ts";
import { createStory } from "./story.ts";

// Whoever read it has gone (`| head`): the goal goes on all the same.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });

let redactor = createRedactor([]);
try {
  const config = readConfig();
  redactor = createRedactor(config.secrets);
  process.exitCode = await main(config);
} catch (thrown) {
  const say = (text: string) => process.stderr.write(`${redactor.said(text)}\n`);
  const explained = explainError(thrown, say);
  if (explained === null)
    say(
      thrown instanceof OuterloopError || !(thrown instanceof Error)
        ? messageOf(thrown)
        : (thrown.stack ?? thrown.message),
    );
  process.exitCode = explained ?? 1;
}
// Whatever still keeps the process alive has nothing left to do.
process.exit();

/** What the command line asks for: a goal, with the files that it is about. */
interface Asked {
  readonly args: RunArguments;
  readonly attachments: Attachments;
}

async function main(config: Config): Promise<number> {
  if (process.argv[2] === "--view") return view(config);
  // Read before anything is opened: a wrong path should cost nothing.
  const asked = await readCommandLine(config);
  const story = createStory(asked?.args.view.isJson === true ? process.stderr : process.stdout, config.cwd);
  // A database server is shared by design; an embedded one has a single process.
  if (config.databaseUrl !== null) return run(config, asked, story);

  const lock = await lockData(config.dataDir);
  if (lock.kind === "taken") {
    const server = await findServer(config, lock.pid);
    if (asked === null)
      throw new OuterloopError(
        "config",
        `A server already runs on ${story.path(config.dataDir)}: ${server.url} (process ${lock.pid}). Give it a goal: npm start -- "…"`,
      );
    story.line("Server", `${server.url} runs on this data already and takes the goal`);
    return runAsked(config, asked, server);
  }
  try {
    return await run(config, asked, story);
  } finally {
    await lock.release();
  }
}

async function readCommandLine(config: Config): Promise<Asked | null> {
  const args = readRunArguments(process.argv.slice(2), config.cwd);
  return args === null ? null : { args, attachments: await collectAttachments(args.attach, { cwd: config.cwd }) };
}

async function runAsked(
  config: Config,
  { args, attachments }: Asked,
  server: { readonly url: string; readonly apiKey: string },
  footer?: readonly string[],
): Promise<number> {
  const { exitCode } = await runGoal({
    client: createClient({ baseUrl: server.url, apiKey: server.apiKey }),
    text: args.text,
    attachments,
    options: args.options,
    dataDir: config.dataDir,
    cwd: config.cwd,
    endsServer: footer !== undefined,
    footer: footer ?? [],
    ...args.view,
  });
  return exitCode;
}

type Story = ReturnType<typeof createStory>;

async function run(config: Config, asked: Asked | null, story: Story): Promise<number> {
  const opening = story.database(config);
  const server = await startEmbedded(config, {
    // A run's port is nobody's business; a server's is what people were told.
    fallbackPort: asked !== null && !config.portIsSet,
    logTo: 2,
    logLevel: asked === null ? "info" : "error",
  });
  try {
    opening.done();
    story.model(server.runtime.models);
    if (asked !== null) return await runAsked(config, asked, server, story.footer(config, server.url));
    story.serving(server.url, config.dataDir);
    const stopped = stopSignal();
    server.runtime.log.info({ event: "ready", url: server.url });
    await stopped;
    story.line("Stopping", "running steps finish or are handed back");
    return 0;
  } finally {
    await server.close();
  }
}

/** For one command of the CLI where no server runs: answers over HTTP, works on nothing, ends when its input does. */
async function view(config: Config): Promise<number> {
  const lock = await lockData(config.dataDir);
  if (lock.kind === "taken")
    throw new OuterloopError("config", `process ${lock.pid} is using it; try again in a moment`);
  try {
    const server = await startEmbedded(config, { fallbackPort: false, logTo: 2, logLevel: "error", onlyLooks: true });
    process.stdout.write(`${JSON.stringify({ url: server.url, apiKey: server.apiKey })}\n`);
    await Promise.race([once(process.stdin.resume(), "end"), stopSignal()]);
    await server.close();
  } finally {
    await lock.release();
  }
  return 0;
}
