import type { Command } from "commander";
import { messageOf, OuterloopError } from "@outerloop/core/domain";
import { UserError } from "../exit.ts";
import type { Context } from "./context.ts";
import { duration } from "./option-values.ts";
import { formatCount } from "../text/quantities.ts";

interface MigrateFlags {
  readonly wait?: boolean;
  /** Milliseconds. */
  readonly timeout?: number;
}

const defaultTimeoutMs = 300_000;

/** `migrate`: brings the database that DATABASE_URL names up to this version, or waits until somebody did. */
export function addMigrate(program: Command, context: Context): void {
  program
    .command("migrate")
    .description("bring the database up to this version, before services start that may not (OUTERLOOP_MIGRATE=false)")
    .option("--wait", "change nothing; wait until the database is up to this version")
    .option("--timeout <time>", "how long to wait, such as 90s or 10m (5m)", duration)
    .action(async (flags: MigrateFlags) => {
      // The runtime's code is heavy, and only this command needs it.
      const { awaitSchema, readConfig, upgradeSchema } = await import("@outerloop/core");
      await told(async () => {
        const tell = (what: string) => void context.err.write(`${what}\n`);
        const config = readConfig(ownEnv(context), context.cwd);
        if (flags.wait === true) {
          await awaitSchema(config, flags.timeout ?? defaultTimeoutMs, tell);
          return context.print("The database is up to date.");
        }
        const done = await upgradeSchema(config, tell);
        context.print(...(done.length === 0 ? ["The database is up to date."] : done));
      });
    });
}

/** `prune`: deletes what ended long ago, in the database that DATABASE_URL names. */
export function addPrune(program: Command, context: Context): void {
  program
    .command("prune")
    .description("delete goals that ended long ago, with all that they wrote; memories stay")
    .requiredOption("--older-than <time>", "since their end, such as 90d", duration)
    .action(async ({ olderThan }: { readonly olderThan: number }) => {
      const { pruneDatabase, readConfig } = await import("@outerloop/core");
      const { goals, days } = await told(() => pruneDatabase(readConfig(ownEnv(context), context.cwd), olderThan));
      context.print(
        `Deleted ${formatCount(goals)} ${goals === 1 ? "goal" : "goals"}, and the history of ${formatCount(days)} ${days === 1 ? "day" : "days"}.`,
      );
    });
}

async function told<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (thrown) {
    throw thrown instanceof OuterloopError || isConnectionFailure(thrown) ? new UserError(messageOf(thrown)) : thrown;
  }
}

/** As when a password is wrong or a database is missing: Postgres says it well enough. */
function isConnectionFailure(thrown: unknown): boolean {
  return thrown instanceof Error && "severity" in thrown;
}

/** Without the key to a server, which may be any: no server is asked here. */
function ownEnv({ env }: Context): NodeJS.ProcessEnv {
  const { OUTERLOOP_API_KEY: _, ...rest } = env;
  return rest;
}
