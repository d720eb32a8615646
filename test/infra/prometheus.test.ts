/** The alerts by what promtool says of them, and their pages. */
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { board } from "../../infra/grafana/board.ts";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";
import { blocksOf, readAlerts, readIndex, readPages, rulesText } from "./prometheus/files.ts";
import { describeWithPrometheus, infraPath, promtool } from "./prometheus/programs.ts";

const alerts = readAlerts();
const pages = readPages();

describeWithPrometheus("promtool", (programs) => {
  test("takes the rules and both configurations", async () => {
    for (const args of [
      ["check", "rules", "rules.yaml"],
      ["check", "config", "prometheus.yml"],
      ["check", "config", "prometheus-kubernetes.yml"],
    ])
      expect(await promtool(programs, ...args), args.join(" ")).toMatchObject({ ok: true });
  });

  test("sees every alert fire when it should and no other", async () => {
    expect(await promtool(programs, "test", "rules", "rules.test.yaml")).toMatchObject({ ok: true });
  }, 60_000);

  describe("rules that were spoilt", () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "outerloop-rules-"));
      await cp(`${infraPath}prometheus/rules.test.yaml`, join(folder, "rules.test.yaml"));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    /** The alerts of which the cases say that they are wrong. */
    async function failing(
      spoil: (rule: { alert?: string; expr: string; for?: string }) => void,
    ): Promise<Set<string>> {
      const rules = parse(rulesText()) as { groups: { rules: { alert?: string; expr: string }[] }[] };
      for (const rule of rules.groups.flatMap((group) => group.rules)) if (rule.alert !== undefined) spoil(rule);
      await writeFile(join(folder, "rules.yaml"), stringify(rules));
      const { ok, text } = await promtool(programs, "test", "rules", join(folder, "rules.test.yaml"));
      expect(ok).toBe(false);
      return new Set([...text.matchAll(/alertname: (\w+), time/g)].map(([, name]) => name!));
    }

    test("each alert that can't fire any more fails its case", async () => {
      const names = await failing((rule) => (rule.expr = "vector(0) > 1"));
      expect(names).toEqual(new Set(alerts.map(({ alert }) => alert)));
    }, 60_000);

    test("each alert that no longer waits before it fires fails its case", async () => {
      const names = await failing((rule) => delete rule.for);
      expect(names).toEqual(new Set(alerts.filter((alert) => alert.for !== undefined).map(({ alert }) => alert)));
    }, 60_000);
  });
});

describe("the pages", () => {
  test("each alert has one, and each is of an alert", () => {
    expect(new Set(pages.keys())).toEqual(new Set(alerts.map(({ alert }) => alert)));
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  });

  test("each alert leads to its own, at the address that the board uses", () => {
    const base = board.links[0]!.url.replace(/README\.md$/, "");
    for (const { alert, annotations } of alerts) expect(annotations.runbook_url).toBe(`${base}${alert}.md`);
  });

  test("each says what it means, what to look at and what to do, and the index leads to it", () => {
    const index = readIndex();
    for (const [name, text] of pages) {
      expect(text.split("\n")[0], name).toBe(`# ${name}`);
      const headings = [...text.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
      expect(headings, name).toEqual(["What it means", "What to look at", "What to do"]);
      expect(index).toContain(`(${name}.md)`);
    }
  });

  test("every outerloop command in them is one, with the options that it has", () => {
    const commands = [...pages.values(), readIndex()]
      .flatMap((text) => blocksOf(text, "sh"))
      .flatMap((block) => [...block.matchAll(/npx outerloop ([a-z-]+)([^\n#|]*)/g)])
      .map(([, command, rest]) => ({ command: command!, options: rest!.match(/--[a-z-]+/g) ?? [] }));
    expect(commands.length).toBeGreaterThan(5);
    for (const command of new Set(commands.map((each) => each.command))) {
      const args = ["packages/cli/src/main.ts", command, "--help"];
      const { stdout } = spawnSync(process.execPath, args, {
        cwd: new URL("../../", import.meta.url),
        encoding: "utf8",
      });
      expect(stdout, command).toContain(`outerloop ${command}`);
      for (const option of commands.filter((each) => each.command === command).flatMap((each) => each.options))
        expect(stdout, command).toContain(option);
    }
  });
});

describeWithServers("the pages on a migrated database", () => {
  let client: pg.Client;
  beforeAll(async () => {
    client = new pg.Client({ connectionString: (await cloneDatabase()).url });
    await client.connect();
    // What a page tells to look at changes nothing.
    await client.query("SET default_transaction_read_only = on");
  });
  afterAll(() => client.end());

  const blocks = [...pages].flatMap(([name, text]) => blocksOf(text, "sql").map((sql) => ({ name, sql })));

  test("every SQL statement in them runs", async () => {
    expect(blocks.length).toBeGreaterThan(10);
    for (const { name, sql } of blocks)
      for (const statement of sql.split(/;\s*$/m).filter((each) => each.trim() !== ""))
        await client.query(statement).catch((thrown: unknown) => {
          throw new Error(`${name}: ${statement}`, { cause: thrown });
        });
  });
});
