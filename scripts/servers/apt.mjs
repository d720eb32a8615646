// Installs Debian packages, from the sources that this machine already uses.
//
// Debian 12 (bookworm) has neither pgvector nor Valkey; Debian 13 (trixie) has both. Its suite is added from the same
// mirror, pinned so low that nothing else on the machine is upgraded to it.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";

const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };

/** Whether packages can be installed without asking anybody. */
export function canInstall() {
  return process.platform === "linux" && process.getuid() === 0 && fs.existsSync("/usr/bin/apt-get");
}

/** Installs PostgreSQL with pgvector and a Valkey or Redis server; throws with apt's last lines where it can't. */
export async function installServers() {
  await aptGet(["update", "-qq"]);
  try {
    return await installChosen([]);
  } catch (error) {
    if (!addTrixie()) throw error;
  }
  await aptGet(["update", "-qq"]);
  await installChosen(["-t", "trixie"]);
}

async function installChosen(options) {
  const packages = choosePackages();
  if (packages.includes(undefined))
    throw new Error("this system's package sources have no pgvector or no Valkey/Redis");
  await withoutStartingServices(() =>
    aptGet(["install", "-y", "-qq", "--no-install-recommends", ...options, ...packages]),
  );
}

/** Installs packages, those of Debian 13 also on Debian 12; starts no daemon. Throws with apt's last lines where it can't. */
export async function installPackages(packages) {
  const options = addTrixie() ? ["-t", "trixie"] : [];
  await aptGet(["update", "-qq"]);
  await withoutStartingServices(() =>
    aptGet(["install", "-y", "-qq", "--no-install-recommends", ...options, ...packages]),
  );
}

/** As `installPackages`, but unpacked into a folder: nothing of the machine changes. */
export async function unpackPackages(packages, folder) {
  const options = addTrixie() ? ["-t", "trixie"] : [];
  await aptGet(["update", "-qq"]);
  await aptGet(["download", "-qq", ...options, ...packages], folder);
  for (const name of fs.readdirSync(folder).filter((each) => each.endsWith(".deb"))) {
    execFileSync("dpkg", ["-x", name, "."], { cwd: folder });
    fs.rmSync(`${folder}/${name}`);
  }
}

function choosePackages() {
  const names = execFileSync(
    "apt-cache",
    ["--names-only", "search", "^(postgresql-[0-9]+-pgvector|valkey-server|redis-server)$"],
    {
      encoding: "utf8",
    },
  )
    .split("\n")
    .map((line) => line.split(" ")[0]);
  const newestFirst = names
    .filter((name) => name.endsWith("-pgvector"))
    .sort((a, b) => Number(b.split("-")[1]) - Number(a.split("-")[1]));
  return [
    newestFirst[0],
    names.find((name) => name === "valkey-server") ?? names.find((name) => name === "redis-server"),
  ];
}

// Returns whether the suite is there now. The sources say what the machine is; /etc/os-release may come from trixie
// once something of it was installed.
function addTrixie() {
  const source = findDebianSource();
  if (source === undefined) return false;
  fs.writeFileSync(
    "/etc/apt/sources.list.d/outerloop-trixie.sources",
    `Types: deb\nURIs: ${source.uri}\nSuites: trixie\nComponents: main\n${source.signedBy}`,
  );
  // 100: below the 500 of everything configured, so only what is asked for with `-t trixie` comes from there.
  fs.writeFileSync("/etc/apt/preferences.d/outerloop-trixie", "Package: *\nPin: release n=trixie\nPin-Priority: 100\n");
  return true;
}

/** The mirror from which this machine takes Debian itself: {uri, signedBy (a line or empty)}, or undefined. */
function findDebianSource() {
  const folder = "/etc/apt/sources.list.d";
  const files = fs.existsSync(folder) ? fs.readdirSync(folder).map((name) => `${folder}/${name}`) : [];
  for (const file of files.filter((name) => name.endsWith(".sources"))) {
    for (const stanza of fs.readFileSync(file, "utf8").split(/\n\s*\n/)) {
      const field = (name) => new RegExp(`^${name}:[ \\t]*(.+)$`, "im").exec(stanza)?.[1].trim();
      if (!/\bbookworm\b(?!-)/.test(field("Suites") ?? "") || !/\bmain\b/.test(field("Components") ?? "")) continue;
      const uri = field("URIs")?.split(/\s+/).find(isDebianArchive);
      if (uri !== undefined) return { uri, signedBy: field("Signed-By") ? `Signed-By: ${field("Signed-By")}\n` : "" };
    }
  }
  for (const file of ["/etc/apt/sources.list", ...files.filter((name) => name.endsWith(".list"))]) {
    if (!fs.existsSync(file)) continue;
    for (const line of fs.readFileSync(file, "utf8").split("\n")) {
      const [, options = "", uri] = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+bookworm\s+(?:\S+\s+)*main\b/.exec(line) ?? [];
      if (uri === undefined || !isDebianArchive(uri)) continue;
      const key = /signed-by=(\S+)/i.exec(options)?.[1];
      return { uri, signedBy: key ? `Signed-By: ${key}\n` : "" };
    }
  }
  return undefined;
}

// Other vendors name their suites after Debian's releases too.
function isDebianArchive(uri) {
  return /\/debian\/?$/.test(uri);
}

// Ours are started by hand, on other ports; the packages' own would only sit there.
async function withoutStartingServices(work) {
  const policy = "/usr/sbin/policy-rc.d";
  if (fs.existsSync(policy)) return work();
  fs.writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    return await work();
  } finally {
    fs.rmSync(policy, { force: true });
  }
}

async function aptGet(args, cwd = "/") {
  // Another apt may be at work, such as a machine's nightly upgrade.
  const child = spawn("apt-get", ["-o", "DPkg::Lock::Timeout=300", ...args], {
    cwd,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => (output = (output + chunk).slice(-4000)));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) throw new Error(`apt-get ${args[0]} failed:\n${output.trim().split("\n").slice(-8).join("\n")}`);
}
