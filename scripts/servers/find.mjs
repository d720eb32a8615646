// Finds the servers that this machine already has. Not responsible for installing or starting them.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { delimiter, join } from "node:path";

// DESIGN §4: PostgreSQL 15+ with pgvector ≥ 0.8.
const oldestPostgres = 15;
const oldestVector = [0, 8];

const onPath = () => (process.env.PATH ?? "").split(delimiter).filter(Boolean);

/**
 * The folder of the newest usable PostgreSQL's programs with its major version, or undefined; with OUTERLOOP_TEST_POSTGRES of
 * that major version alone.
 */
export function findPostgres() {
  const wanted = process.env.OUTERLOOP_TEST_POSTGRES;
  const folders = [
    ...inside("/usr/lib/postgresql", "bin"), // Debian, Ubuntu
    ...inside("/opt/homebrew/opt", "bin", /^postgresql/),
    ...inside("/usr/local/opt", "bin", /^postgresql/),
    ...inside("/Applications/Postgres.app/Contents/Versions", "bin"),
    ...inside("/usr", "bin", /^pgsql-/), // Fedora, RHEL
    ...onPath(),
  ];
  return folders
    .filter((bin) => fs.existsSync(join(bin, "postgres")) && fs.existsSync(join(bin, "initdb")))
    .map((bin) => ({ bin, version: majorVersion(bin) }))
    .filter(({ bin, version }) => version >= oldestPostgres && hasVector(bin, version))
    .filter(({ version }) => wanted === undefined || version === Number(wanted))
    .sort((a, b) => b.version - a.version)[0];
}

/** The path of a Valkey or Redis server, or undefined. */
export function findRedis() {
  const folders = [...onPath(), "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
  return ["valkey-server", "redis-server"]
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => fs.existsSync(path));
}

function inside(parent, child, names = /./) {
  if (!fs.existsSync(parent)) return [];
  return fs
    .readdirSync(parent)
    .filter((name) => names.test(name))
    .map((name) => join(parent, name, child));
}

function majorVersion(bin) {
  try {
    const text = execFileSync(join(bin, "postgres"), ["--version"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return Number(/(\d+)/.exec(text)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function hasVector(bin, version) {
  const shares = [
    `/usr/share/postgresql/${version}`,
    join(bin, "../share"),
    join(bin, "../share/postgresql"),
    `${bin}/../share/postgresql@${version}`,
  ];
  return shares.some((share) => {
    const control = join(share, "extension/vector.control");
    if (!fs.existsSync(control)) return false;
    const [major, minor] = /default_version = '(\d+)\.(\d+)/
      .exec(fs.readFileSync(control, "utf8"))
      ?.slice(1)
      .map(Number) ?? [0, 0];
    return major > oldestVector[0] || (major === oldestVector[0] && minor >= oldestVector[1]);
  });
}
