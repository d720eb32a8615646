// Where the development servers keep their data, state and logs.
import { createHash } from "node:crypto";
import fs from "node:fs";
import { rootPath } from "../setup/root.mjs";

/** Everything of the development servers, in the checkout and ignored by git. */
export const devServersPath = `${rootPath}.outerloop/dev-servers`;

/** Where Postgres' data lies when it can't lie in the checkout. */
export const outsidePath = "/var/lib/outerloop-dev-servers";

/** The folder of one mode's state, logs and Valkey data, created if need be. */
export function modePath(mode) {
  const path = `${devServersPath}/${mode}`;
  fs.mkdirSync(path, { recursive: true });
  return path;
}

/**
 * Postgres' data. Postgres refuses to run as root; run as root it gets another user, who may not be allowed to reach
 * into the checkout, so its data lies outside. Those of a major version that was asked for are apart.
 */
export function postgresDataPath(mode) {
  const version = process.env.OUTERLOOP_TEST_POSTGRES;
  const name = version === undefined ? "postgres" : `postgres-${Number(version)}`;
  if (process.getuid?.() !== 0) return `${modePath(mode)}/${name}`;
  const checkout = createHash("sha256").update(rootPath).digest("hex").slice(0, 12);
  const folder = `${outsidePath}/${checkout}-${mode}`;
  fs.mkdirSync(folder, { recursive: true, mode: 0o755 });
  fs.writeFileSync(`${folder}/checkout`, rootPath);
  return `${folder}/${name}`;
}
