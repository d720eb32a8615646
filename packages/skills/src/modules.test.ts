import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRegistry } from "./modules.ts";
import { createMemoryContext } from "./testing/memory-context.ts";

const zodUrl = import.meta.resolve("zod");
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outerloop-skills-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function write(path: string, text: string): Promise<string> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
  return path;
}

const tool = (fields: string) => `{
  name: "say", version: "1", description: "says it", effect: "pure", timeoutMs: 1000,
  input: z.object({ text: z.string() }),
  count: 0,
  async run({ text }) { return { ok: true, text: text + ++this.count }; },
  ${fields}
}`;
const moduleOf = (skill: string) => `import { z } from ${JSON.stringify(zodUrl)};\nexport default ${skill};\n`;
const skillOf = (tools: string, name = "own") => `{ name: "${name}", description: "", tools: [${tools}] }`;

let written = 0;
const open = async (text: string) =>
  openRegistry({ cwd: folder, skillModules: [await write(`m${written++}.mjs`, text)] });

describe("a skill module", () => {
  test("adds its tools to the built-in ones, and a tool keeps what belongs to it", async () => {
    const registry = await open(moduleOf(skillOf(tool(""))));
    expect(registry.get("read_file")).toBeDefined();
    const context = createMemoryContext();
    await registry.run({ name: "say", args: { text: "a" } }, context);
    expect(await registry.run({ name: "say", args: { text: "a" } }, context)).toEqual({ ok: true, text: "a2" });
  });

  test("may export a list, may be TypeScript, and may be named by an absolute path", async () => {
    const path = await write(
      "list.ts",
      `const words: readonly string[] = ["a"];\n${moduleOf(`[${skillOf(tool(""))}, ${skillOf(tool('name: "shout"'), "loud")}]`)}`,
    );
    const registry = await openRegistry({ cwd: dirname(fileURLToPath(zodUrl)), skillModules: [join(folder, path)] });
    expect(registry.specs(["say", "shout"])).toHaveLength(2);
  });

  test("may be a package that is installed where the operator stands", async () => {
    await write("node_modules/our-skills/package.json", '{"name":"our-skills","exports":{"import":"./skills.mjs"}}');
    await write("node_modules/our-skills/skills.mjs", moduleOf(skillOf(tool(""))));
    // Packages are found by Node itself, which vitest stands in for.
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--input-type=module",
      "--eval",
      `import { openRegistry } from ${JSON.stringify(import.meta.resolve("./modules.ts"))};
       const registry = await openRegistry({ cwd: ${JSON.stringify(folder)}, skillModules: ["our-skills"] });
       console.log(registry.get("say").name);`,
    ]);
    expect(stdout).toBe("say\n");
  });
});

describe("a module that is refused names itself and the field:", () => {
  test.each([
    ["a timeout without end", skillOf(tool("timeoutMs: Infinity")), /tools\[0\]\.timeoutMs/],
    ["a timeout of more than an hour", skillOf(tool("timeoutMs: 3_600_001")), /tools\[0\]\.timeoutMs/],
    ["a timeout of nothing", skillOf(tool("timeoutMs: 0")), /tools\[0\]\.timeoutMs/],
    ["an effect that there is not", skillOf(tool('effect: "maybe"')), /tools\[0\]\.effect/],
    ["a name that no provider takes", skillOf(tool('name: "send mail"')), /tools\[0\]\.name/],
    ["no version", skillOf(tool("version: undefined")), /tools\[0\]\.version/],
    ["arguments without a schema", skillOf(tool("input: { text: String }")), /tools\[0\]\.input: must be a schema/],
    ["arguments that are no object", skillOf(tool("input: z.string()")), /say\.input: must be a z\.object/],
    ["nothing to run", skillOf(tool("run: undefined")), /tools\[0\]\.run: must be a function/],
    ["no tools", skillOf(""), /m\d+\.mjs: tools/],
    ["the second of a list", `[${skillOf(tool(""))}, {}]`, /\[1\]\.name/],
    ["a tool twice", skillOf(`${tool("")}, ${tool("")}`), /offers the tool "say", a name that is taken/],
    ["a built-in's name", skillOf(tool('name: "read_file"')), /offers the tool "read_file", a name that is taken/],
    ["no skill", "7", /m\d+\.mjs: default/],
  ])("%s", async (_what, skill, message) => {
    const opened = open(moduleOf(skill));
    await expect(opened).rejects.toMatchObject({ code: "config" });
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toThrow(/^OUTERLOOP_SKILL_MODULES: m\d+\.mjs: /);
  });

  test("no default export, no such file, no such package, a fault of its own", async () => {
    await expect(open("export const skill = {};")).rejects.toThrow(/default: must be exported/);
    await expect(open("throw new Error('no key');")).rejects.toThrow(/cannot be loaded: no key/);
    await expect(openRegistry({ cwd: folder, skillModules: ["./gone.mjs"] })).rejects.toThrow(
      /\.\/gone\.mjs: it cannot be loaded/,
    );
    await expect(openRegistry({ cwd: folder, skillModules: ["no-such-package"] })).rejects.toThrow(
      /no-such-package: it cannot be loaded/,
    );
  });
});

test("the example of CONTRIBUTING loads as it stands, from a folder that has no packages", async () => {
  const text = await readFile(new URL("../../../CONTRIBUTING.md", import.meta.url), "utf8");
  const example = /```ts\n(\/\/ mail\.ts[\s\S]*?)```/.exec(text)?.[1];
  expect(example).toBeDefined();
  const module = await write("example/mail.ts", example!);
  // In a process of its own, since the test runner resolves packages in its own way.
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--input-type=module",
    "--eval",
    `import { openRegistry } from ${JSON.stringify(import.meta.resolve("./modules.ts"))};
     const registry = await openRegistry({ cwd: ${JSON.stringify(folder)}, skillModules: [${JSON.stringify(module)}] });
     console.log(registry.get("send_mail").effect, registry.check({ name: "send_mail", args: { to: "nobody", text: "x" } }));`,
  ]);
  expect(stdout).toMatch(/^external send_mail was not run.*to: /);
});
