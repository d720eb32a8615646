/**
 * Carries a Dockerfile out, in a folder for what each stage changes: a builder of images without an engine. Instructions
 * mean what the Dockerfile reference says; one that is not known here is an error, so nothing is passed over.
 */
import { mkdir } from "node:fs/promises";
import { join, posix } from "node:path";
import { copyContext } from "./context.ts";
import { quote, runInside, withMounted, type Layers } from "./container.ts";
import { baseRoot, cachePath } from "./debian.ts";
import { expand, parseDockerfile, type Step } from "./dockerfile.ts";

export interface Image {
  readonly layers: Layers;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workdir: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly number[];
  readonly healthcheck: { readonly command: readonly string[]; readonly flags: ReadonlyMap<string, string> } | null;
}

export interface ReplayOptions {
  /** A new folder, for the layers and the context. */
  readonly folder: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** What RUN sees of this machine beyond the image's own environment: the way to the registry. */
  readonly hostEnv?: Readonly<Record<string, string>>;
  /** A file of this machine, where its way to the registry has an authority of its own. */
  readonly hostCertificates: string | null;
}

/** @returns the last stage */
export async function replay(options: ReplayOptions): Promise<Image> {
  const { args, stages } = parseDockerfile();
  const context = join(options.folder, "context");
  await mkdir(context, { recursive: true });
  await copyContext(context);
  const built = new Map<string, Image>();
  let last: Image | undefined;
  for (const [index, { from, name, steps }] of stages.entries()) {
    const parent = built.get(from) ?? (await officialImage(from));
    const layers = await newLayer(join(options.folder, name ?? `stage-${index}`), parent.layers);
    const values = new Map<string, string>();
    let image: Image = { ...parent, layers };
    for (const step of steps) image = await carryOut(step, image, { ...options, args, values, context, built });
    last = image;
    if (name !== null) built.set(name, image);
  }
  return last!;
}

async function newLayer(folder: string, below: Layers): Promise<Layers> {
  for (const name of ["layer", "root", "work"]) await mkdir(join(folder, name), { recursive: true });
  return { folders: [join(folder, "layer"), ...below.folders], scratch: folder };
}

interface Around extends ReplayOptions {
  /** Given before the first stage. */
  readonly args: ReadonlyMap<string, string>;
  /** ARGs of this stage so far. */
  readonly values: Map<string, string>;
  readonly context: string;
  readonly built: ReadonlyMap<string, Image>;
}

/** What Docker Hub's node image says of itself. */
async function officialImage(name: string): Promise<Image> {
  if (name !== `node:${process.versions.node}-bookworm-slim`)
    throw new Error(`FROM ${name}: only the image of the Node that runs this can be stood in for`);
  return {
    layers: { folders: [await baseRoot()], scratch: "" },
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    user: "0:0",
    workdir: "/",
    entrypoint: ["docker-entrypoint.sh"],
    command: ["node"],
    labels: {},
    ports: [],
    healthcheck: null,
  };
}

async function carryOut(step: Step, image: Image, around: Around): Promise<Image> {
  const known = new Map([...around.values, ...Object.entries(image.env)]);
  const text = expand(step.text, known);
  const properties = () =>
    Object.fromEntries(step.properties.map(([name, value]) => [name, expand(value ?? "", known)]));
  switch (step.keyword) {
    case "ARG":
      for (const [name, value] of step.properties)
        around.values.set(
          name,
          around.buildArgs?.[name] ?? (value === null ? (around.args.get(name) ?? "") : expand(value, known)),
        );
      return image;
    case "ENV":
      return { ...image, env: { ...image.env, ...properties() } };
    case "LABEL":
      return { ...image, labels: { ...image.labels, ...properties() } };
    case "WORKDIR": {
      const workdir = posix.resolve(image.workdir, text);
      await onRoot(step, image, `mkdir -p "$root"${quote(workdir)}`);
      return { ...image, workdir };
    }
    case "USER":
      return { ...image, user: text };
    case "EXPOSE":
      return { ...image, ports: [...image.ports, ...text.split(/\s+/).map(Number)] };
    case "ENTRYPOINT":
      // A new entry point forgets the command of the image below.
      return { ...image, entrypoint: execForm(step), command: [] };
    case "CMD":
      return { ...image, command: execForm(step) };
    case "HEALTHCHECK": {
      const [, command] = /^CMD\s+(.*)$/s.exec(step.text) ?? [];
      return { ...image, healthcheck: { command: execForm({ ...step, text: command ?? "" }), flags: step.flags } };
    }
    case "COPY":
      await copy(step, text, image, around);
      return image;
    case "RUN":
      await runStep(step, image, around);
      return image;
    default:
      throw new Error(`line ${step.line}: ${step.keyword} is not replayed`);
  }
}

// The shell form would make a shell process 1, which passes no signal on.
function execForm({ keyword, text, line }: Step): readonly string[] {
  if (!text.startsWith("[")) throw new Error(`line ${line}: ${keyword} is not in exec form: ${text}`);
  return JSON.parse(text) as string[];
}

async function copy(step: Step, text: string, image: Image, around: Around): Promise<void> {
  for (const flag of step.flags.keys())
    if (flag !== "from" && flag !== "chmod") throw new Error(`line ${step.line}: COPY --${flag} is not replayed`);
  const paths = text.split(/\s+/);
  const to = paths.pop()!;
  const stage = step.flags.get("from");
  const from = stage === undefined ? undefined : around.built.get(stage);
  if (stage !== undefined && from === undefined) throw new Error(`line ${step.line}: there is no stage ${stage}`);
  const source = from === undefined ? around.context : `${from.layers.scratch}/root`;
  const target = `"$root"${quote(posix.resolve(image.workdir, to))}`;
  const mode = step.flags.get("chmod");
  const intoFolder = to.endsWith("/") || to === "." || to === "./" || paths.length > 1;
  for (const path of paths) {
    if (/[*?[]/.test(path)) throw new Error(`line ${step.line}: patterns are not replayed: ${path}`);
    const name = quote(join(source, path));
    // Of a folder its content is copied. Everything comes to belong to root.
    const script = `
      cp="cp -r --no-dereference --preserve=mode,timestamps,links"
      if [ -d ${name} ]; then
        mkdir -p ${target}; $cp ${name}/. ${target}
        ${mode === undefined ? "" : `chmod -R ${quote(mode)} ${target}`}
      else
        ${intoFolder ? `mkdir -p ${target}` : `mkdir -p "$(dirname ${target})"`}
        $cp ${name} ${target}
        ${mode === undefined ? "" : `chmod ${quote(mode)} ${intoFolder ? `${target}/${quote(posix.basename(path))}` : target}`}
      fi`;
    await onRoot(step, image, script, from);
  }
}

/** Runs a script on this machine, where `$root` is the image's root. */
async function onRoot(step: Step, image: Image, script: string, from?: Image): Promise<void> {
  const { code, output } = await withMounted(
    [image.layers, ...(from === undefined ? [] : [from.layers])],
    `root=${quote(`${image.layers.scratch}/root`)}\n${script}`,
  );
  if (code !== 0) throw new Error(`line ${step.line}: ${step.keyword} ${step.text}\n${output}`);
}

async function runStep(step: Step, image: Image, around: Around): Promise<void> {
  const binds: Record<string, string> = {};
  const env: Record<string, string> = {
    HOME: "/root",
    ...Object.fromEntries(around.values),
    ...image.env,
    ...around.hostEnv,
  };
  for (const [flag, value] of step.flags) {
    const mount = Object.fromEntries(value.split(",").map((pair) => pair.split("=", 2)));
    if (flag !== "mount" || mount["type"] !== "cache")
      throw new Error(`line ${step.line}: RUN --${flag}=${value} is not replayed`);
    const target = mount["target"]!;
    binds[target] = join(cachePath, "mounts", mount["id"]!);
    await mkdir(binds[target], { recursive: true });
  }
  const { layers, user, workdir } = image;
  const where = { layers, user, workdir, env, binds, certificates: around.hostCertificates, readOnly: false };
  const { code, output } = await runInside(["/bin/sh", "-c", step.text], where);
  if (code !== 0) throw new Error(`line ${step.line}: RUN ended with ${code}: ${step.text}\n${output}`);
}
