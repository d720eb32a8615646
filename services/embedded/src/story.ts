/** What a start says on the terminal before the goal's own lines: where the data is, how long that took, who thinks. */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import type { Config, Models } from "@outerloop/core";

export interface StoryOutput {
  write(text: string): unknown;
}

const labelWidth = 9;

export function createStory(out: StoryOutput, cwd: string) {
  const line = (label: string, text: string) => void out.write(`${label.padEnd(labelWidth)}${text}\n`);
  const path = (absolute: string) => {
    const shown = relative(cwd, absolute);
    return shown.startsWith("..") ? absolute : `./${shown}`;
  };

  return {
    line,
    path,

    /** Takes the time from now; `done` says where the data is and how long opening it took. */
    database(config: Config): { done(): void } {
      const start = performance.now();
      const isNew = config.databaseUrl === null && !existsSync(join(config.dataDir, "db"));
      return {
        done() {
          const seconds = (performance.now() - start) / 1000;
          const where =
            config.databaseUrl === null
              ? `${path(config.dataDir)} (embedded Postgres)`
              : `PostgreSQL, queue in ${config.redis === null ? "Postgres" : "Redis"}`;
          line("Database", `${where}  ${seconds.toFixed(1)} s${isNew ? " (once)" : ""}`);
        },
      };
    },

    model(models: Models): void {
      if (models.offline) {
        line("Model", "offline: reads, quotes, ranks; does not reason.");
        line("", "Better: OPENAI_API_KEY=… or ANTHROPIC_API_KEY=… or OPENAI_BASE_URL=http://localhost:11434/v1");
        return;
      }
      const routes = models
        .describe()
        .filter(({ use }) => use === "plan" || use === "execute" || use === "reflect")
        .map(({ use, models: route }) => ({ use, names: route.map((each) => each.name).join(", else ") }));
      const names = [...new Set(routes.map((each) => each.names))];
      line("Model", names.length === 1 ? names[0]! : routes.map((each) => `${each.use} ${each.names}`).join(" · "));
    },

    serving(url: string, dataDir: string): void {
      line("Serving", `${url}   Ctrl-C stops`);
      line("Queues", `${url}/queues   API ${url}/openapi.json`);
      line(
        "Try",
        `curl -H "Authorization: Bearer $(cat ${path(join(dataDir, "api-key"))})" --json '{"text":"…"}' ${url}/v1/goals`,
      );
    },

    /** @param url where the run was served: its port is free again, which the configured one may not be */
    footer(config: Config, url: string): string[] {
      const key = path(join(config.dataDir, "api-key"));
      const port = Number(new URL(url).port);
      const start = port === config.port ? "npm start" : `PORT=${port} npm start`;
      return [
        `${"Serve".padEnd(labelWidth)}${start}   then: curl -H "Authorization: Bearer $(cat ${key})" --json '{"text":"…"}' localhost:${port}/v1/goals`,
      ];
    },
  };
}
