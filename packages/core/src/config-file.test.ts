import { mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { assembleModels } from "./models/routing/assemble.ts";
import { findConfigFile, readConfigFile, reloadConfigFile, watchConfigFile } from "./config-file.ts";

let root: string;
let folder: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "outerloop-config-"));
});
beforeEach(async () => {
  folder = await mkdtemp(join(root, "case-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function write(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}
const plan = { models: { routes: { plan: "openai/a" } } };
const asJson = JSON.stringify(plan);

describe("where the file is", () => {
  test("nowhere, or the one in the folder", async () => {
    expect(findConfigFile(undefined, folder)).toBeNull();
    const path = await write("outerloop.config.yaml", "");
    expect(findConfigFile(undefined, folder)).toBe(path);
  });

  test("two in the folder are not chosen from", async () => {
    await write("outerloop.config.yaml", "");
    const json = await write("outerloop.config.json", "{}");
    expect(() => findConfigFile(undefined, folder)).toThrow(
      "There are outerloop.config.yaml and outerloop.config.json: keep one, or name it in OUTERLOOP_CONFIG.",
    );
    expect(findConfigFile("outerloop.config.json", folder)).toBe(json);
  });

  test("what OUTERLOOP_CONFIG names is there and of a kind that is read", async () => {
    await write("settings.toml", "");
    expect(() => findConfigFile("other.yaml", folder)).toThrow("OUTERLOOP_CONFIG: there is no file other.yaml");
    expect(() => findConfigFile("settings.toml", folder)).toThrow("OUTERLOOP_CONFIG: settings.toml is none of .yaml");
  });
});

test("the examples of docs/models.md and of the root work as they are", async () => {
  const root = new URL("../../../", import.meta.url);
  const [, example = ""] = /```yaml\n(.*?)```/s.exec(await readFile(new URL("docs/models.md", root), "utf8")) ?? [];
  const texts = [example, await readFile(new URL("outerloop.config.example.yaml", root), "utf8")];
  const env = { OPENAI_API_KEY: "sk-test-0123456789abcdef", VLLM_KEY: "k" };
  for (const text of texts) {
    const { models } = readConfigFile(await write("outerloop.config.yaml", text));
    expect(assembleModels({ file: models, env, cwd: folder }).routes.plan).toHaveLength(2);
  }
});

describe("what it says", () => {
  test.each([
    ["outerloop.config.yaml", "# routes\nmodels:\n  routes: { plan: openai/a }\n"],
    ["outerloop.config.json", asJson],
    ["outerloop.config.mjs", `export default ${asJson};`],
    ["outerloop.config.ts", `const of: string = "openai/a";\nexport default { models: { routes: { plan: of } } };`],
    ["function.ts", `export default async (): Promise<object> => (${asJson});`],
    ["talks.mjs", `console.log("hello"); process.stdout.write("there"); export default ${asJson};`],
    ["open.mjs", `setInterval(() => undefined, 1000); export default ${asJson};`],
  ])("is read from %s at the start and again", async (name, text) => {
    const path = await write(name, text);
    expect(readConfigFile(path)).toEqual(plan);
    expect(await reloadConfigFile(path)).toEqual(plan);
  });

  test.each([
    ["empty.yaml", ""],
    ["empty.json", ""],
    ["nothing.ts", "export default undefined;"],
  ])("is nothing where %s is empty", async (name, text) => {
    expect(readConfigFile(await write(name, text))).toEqual({});
  });

  test("of a module is as fresh at every look as what it imports", async () => {
    await write("part.mjs", 'export const name = "openai/a";');
    const path = await write(
      "whole.mjs",
      'import { name } from "./part.mjs"; export default { models: { routes: { plan: name } } };',
    );
    expect(await reloadConfigFile(path)).toEqual(plan);
    await write("part.mjs", 'export const name = "openai/b";');
    expect(await reloadConfigFile(path)).toEqual({ models: { routes: { plan: "openai/b" } } });
  });

  test.each([
    ["a.yaml", "models:\n  routes: [", /^a\.yaml cannot be read: .*line 2/],
    ["b.json", '{"models": ', /^b\.json cannot be read: /],
    ["c.ts", "export default {", /^c\.ts cannot be read: .*SyntaxError|^c\.ts cannot be read: .*c\.ts:1/s],
    ["d.mjs", 'throw new Error("no such vault");', /^d\.mjs cannot be read: .*no such vault/s],
    ["e.yaml", "models: { routes: { plan: openai/a }, speed: 3 }", /^e\.yaml:\n.*speed/s],
    ["f.yaml", "models: { routes: { dream: openai/a } }", /^f\.yaml:\n.*dream/s],
    ["g.yaml", "models: { providers: { openai: { key: sk-plain } } }", /say \{ env: VARIABLE \} or \{ file: PATH \}/],
    ["h.yaml", `models: {} # ${"x".repeat(1024 * 1024)}`, /^h\.yaml is over 1 MiB/],
    ["i.mjs", 'export default { models: "x".repeat(2 ** 21) };', /^i\.mjs cannot be read: it says more than 1 MiB/],
    ["j.yaml", bomb(), /^j\.yaml cannot be read: .*alias/i],
    ["k.yaml", "- a\n- b", /^k\.yaml:\n/],
  ])("is refused where %s is wrong, and says where", async (name, text, message) => {
    const path = await write(name, text);
    const refused = expect.objectContaining({
      code: "config",
      message: expect.stringMatching(message) as string,
    }) as Error;
    expect(() => readConfigFile(path)).toThrow(refused);
    await expect(reloadConfigFile(path)).rejects.toEqual(refused);
  });

  test("of a module that does not end is not waited for", async () => {
    const path = await write("hangs.mjs", "process.on('SIGTERM', () => undefined); for (;;);");
    const message = "hangs.mjs cannot be read: it did not end within 0.3 s";
    expect(() => readConfigFile(path, 300)).toThrow(message);
    await expect(reloadConfigFile(path, 300)).rejects.toThrow(message);
  });

  test("of a file that is gone is refused", async () => {
    const path = await write("gone.yaml", "");
    await rm(path);
    await expect(reloadConfigFile(path)).rejects.toThrow(/^gone\.yaml cannot be read: ENOENT/);
    await expect(reloadConfigFile(join(folder, "gone.mjs"))).rejects.toThrow(/^gone\.mjs cannot be read: /);
  });
});

test("a change is seen, also of a link that is turned to another file", async () => {
  // As Kubernetes mounts a ConfigMap: the file is a link, and what changes is where it leads to.
  await write("one.yaml", "");
  await write("two.yaml", "models: {}");
  const path = join(folder, "outerloop.config.yaml");
  await symlink(join(folder, "one.yaml"), path);
  const seen = vi.fn<() => void>();
  const stop = watchConfigFile(path, seen);
  const turn = async (to: string) => {
    await symlink(join(folder, to), `${path}.new`);
    await rename(`${path}.new`, path);
  };
  // What is there at its first look, which comes some time after, is what later ones are compared to.
  const files = ["two.yaml", "one.yaml"];
  await vi.waitFor(
    async () => {
      files.reverse();
      await turn(files[0]!);
      expect(seen).toHaveBeenCalled();
    },
    { timeout: 15_000, interval: 1100 },
  );
  stop();
});

/** YAML whose aliases multiply: 9 lines that stand for a billion entries. */
function bomb(): string {
  const lines = Array.from({ length: 8 }, (_, index) => {
    const of = index === 0 ? '"lol"' : `*a${index - 1}`;
    return `a${index}: &a${index} [${Array.from({ length: 10 }, () => of).join(", ")}]`;
  });
  return lines.join("\n");
}
