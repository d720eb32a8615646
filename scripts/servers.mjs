// node scripts/servers.mjs start|stop|status|env|install [--durable]
//
// A PostgreSQL with pgvector and a Valkey or Redis for tests and development, on free ports of 127.0.0.1. `start` and
// `env` print a line for the shell: eval "$(node scripts/servers.mjs start)". Without --durable they are fast and may
// lose data in a crash, as tests want it; with it they are a second pair, which writes as in production.
import { ensureServers, runningServers, stopServers } from "./servers/dev-servers.mjs";
import { howToInstall, installMissing, whatIsMissing } from "./servers/install.mjs";

const [command, ...flags] = process.argv.slice(2);
const mode = flags.includes("--durable") ? "durable" : "test";

const commands = {
  async start() {
    const servers = await ensureServers({ mode, until: "stopped" });
    if (servers.kind === "missing") return fail(`${servers.why}: ${servers.howTo}`);
    printExport(servers);
  },
  async stop() {
    await stopServers(mode);
  },
  async status() {
    const running = await runningServers(mode);
    const { postgres, redis } = running ?? {};
    process.stdout.write(
      running === undefined
        ? `${mode}: not running\n`
        : `${mode}: PostgreSQL on port ${postgres.port} (pid ${postgres.pid}), Valkey/Redis on port ${redis.port}\n`,
    );
    process.exitCode = running === undefined ? 1 : 0;
  },
  async env() {
    const running = await runningServers(mode);
    if (running === undefined)
      return fail(`not running: node scripts/servers.mjs start${mode === "durable" ? " --durable" : ""}`);
    printExport(running);
  },
  async install() {
    await installMissing();
    const missing = whatIsMissing();
    if (missing !== undefined) fail(`${missing}: ${howToInstall}`);
  },
};

function printExport({ databaseUrl, redisUrl }) {
  process.stdout.write(`export DATABASE_URL=${databaseUrl} REDIS_URL=${redisUrl}\n`);
}

function fail(reason) {
  process.stderr.write(`${reason}\n`);
  process.exitCode = 1;
}

if (!Object.hasOwn(commands, command))
  fail(`usage: node scripts/servers.mjs ${Object.keys(commands).join("|")} [--durable]`);
else await commands[command]();
