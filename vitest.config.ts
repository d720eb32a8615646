import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

// A developer's keys and servers must not reach a test: it would pass or fail by whose machine it runs on.
const foreign = /^(OPENAI|ANTHROPIC|COPILOT|DATABASE_URL|REDIS_URL|PORT$|OUTERLOOP_(?!TEST_))/;
for (const name of Object.keys(process.env)) if (foreign.test(name)) delete process.env[name];

export default defineConfig({
  test: {
    include: [
      "packages/*/src/**/*.test.ts",
      "services/*/src/**/*.test.ts",
      "test/**/*.test.ts",
      "scripts/**/*.test.mjs",
    ],
    globalSetup: ["test/support/global-setup.ts"],
    pool: "forks",
    // The default leaves a core to watch mode; two cores are what CI has.
    maxWorkers: Math.max(2, availableParallelism()),
    // A cold embedded Postgres takes up to 12 s, and more while another file's starts beside it.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    unstubEnvs: true,
    restoreMocks: true,
  },
});
