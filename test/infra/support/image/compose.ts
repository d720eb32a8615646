/** compose.yaml as Docker Compose itself reads it: checked against its schema, anchors and variables filled in. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { z } from "zod";
import { rootPath } from "./context.ts";

const run = promisify(execFile);

const serviceSchema = z.object({
  image: z.string(),
  build: z.object({ context: z.string(), dockerfile: z.string() }).optional(),
  container_name: z.string().optional(),
  command: z.array(z.string()),
  environment: z.record(z.string(), z.string().nullable()).default({}),
  ports: z.array(z.object({ host_ip: z.string().optional(), target: z.int(), published: z.string() })).default([]),
  networks: z.record(z.string(), z.unknown()),
  volumes: z.array(z.object({ type: z.string(), source: z.string(), target: z.string() })).default([]),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  healthcheck: z
    .object({ test: z.array(z.string()), timeout: z.string(), interval: z.string(), retries: z.int() })
    .optional(),
  restart: z.string(),
  stop_grace_period: z.string().optional(),
  read_only: z.boolean().default(false),
  cap_drop: z.array(z.string()).default([]),
  security_opt: z.array(z.string()).default([]),
  tmpfs: z.array(z.string()).default([]),
  init: z.boolean().default(false),
  deploy: z.object({
    resources: z.object({
      limits: z.object({ cpus: z.number().optional(), memory: z.coerce.number(), pids: z.int().optional() }),
    }),
  }),
});
export type ComposeService = z.output<typeof serviceSchema>;

const projectSchema = z.object({
  services: z.record(z.string(), serviceSchema),
  networks: z.record(z.string(), z.object({ internal: z.boolean().default(false) })),
  volumes: z.record(z.string(), z.unknown()),
});
export type ComposeProject = z.output<typeof projectSchema>;

/**
 * @param compose its program
 * @param env what variables of the file are filled in with; a file `.env` of this machine is not read
 */
export async function readCompose(
  compose: string,
  env: Readonly<Record<string, string>> = {},
): Promise<ComposeProject> {
  const { stdout } = await run(compose, ["--env-file", "/dev/null", "config", "--format", "json"], {
    cwd: rootPath,
    env: { PATH: process.env["PATH"] ?? "", ...env },
  });
  return projectSchema.parse(JSON.parse(stdout));
}
