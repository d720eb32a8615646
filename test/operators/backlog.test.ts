/** What an operator sees when executors are away: Bull Board, metrics and Postgres tell the same story, and only to who has a key. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import pg from "pg";
import { startScriptedServer, type ScriptedServer } from "../../packages/core/src/models/testing/scripted-server.ts";
import { findChromium, openBrowser } from "../support/browser.ts";
import { deploy, realSizes, type Deployment, type Size } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { appendTasks, done, understood } from "../support/scripts.ts";
import { describeWithServers, notRun } from "../support/servers.ts";

const waitingGoals = 4;

function backlogCases(size: Size, chromiumPath: string): void {
  describe(`a backlog on ${size}`, () => {
    let server: ScriptedServer;
    let deployment: Deployment;
    let browser: Browser;
    let page: Page;

    beforeAll(async () => {
      server = await startScriptedServer((seen) => {
        // A goal's second round comes after its only task failed.
        if (seen.outputName === "plan")
          return { json: JSON.stringify(seen.body).includes("model_said_no") ? done("it failed") : appendTasks(1) };
        if (seen.outputName === "intake") return { json: understood };
        return { error: { status: 400, message: "model_said_no" } };
      });
      const env = { OPENAI_BASE_URL: server.openAiBaseUrl, OUTERLOOP_MODEL: "openai/gpt-test" };
      [deployment, browser] = await Promise.all([deploy({ size, env }), openBrowser(chromiumPath)]);
      const { client } = deployment;

      const failing = await client.goals.create({ text: "this one fails" });
      for await (const _ of client.goals.watch(failing.id));
      const executor = deployment.processes.get("executor-1")!;
      executor.kill("SIGTERM");
      expect(await executor.exited).toBe(0);
      const waiting = await Promise.all(
        Array.from({ length: waitingGoals }, () => client.goals.create({ text: "this one waits" })),
      );
      for (const { id } of waiting) {
        for await (const event of client.goals.watch(id)) if (event.type === "goal.planned") break;
      }
      page = await browser.newPage();
    }, 90_000);
    afterAll(async () => {
      await browser?.close();
      await deployment?.stop();
      await endProcesses();
      await server?.close();
    });

    test("without the key there is nothing to see", async () => {
      for (const path of ["/queues", "/queues/api/queues", "/metrics", "/v1/goals"]) {
        const response = await fetch(`${deployment.url}${path}`, { redirect: "manual" });
        expect([401, 302, 303], path).toContain(response.status);
        expect(await response.text(), path).not.toContain("execute");
      }
      await page.goto(`${deployment.url}/queues`);
      expect(new URL(page.url()).pathname).toBe("/login");
    });

    test("Bull Board shows the backlog and the failure with its reason, in a real browser", async () => {
      await page.goto(`${deployment.url}/login?next=/queues`);
      await page.locator("input[name=key]").fill(deployment.apiKey);
      await page.getByRole("button").first().click();
      await page.waitForURL(/\/queues/);
      await page.goto(`${deployment.url}/queues/queue/execute?status=failed`);
      await page.getByText("model_said_no").first().waitFor();
      const counts = await page.evaluate(async () => {
        const { queues } = (await (await fetch("/queues/api/queues")).json()) as {
          queues: { name: string; counts: Record<string, number> }[];
        };
        return queues.find((queue) => queue.name === "execute")?.counts;
      });
      expect(counts).toMatchObject({ waiting: waitingGoals, failed: 1, active: 0 });
    }, 60_000);

    test("metrics and Postgres tell the same", async () => {
      const response = await fetch(`${deployment.url}/metrics`, {
        headers: { authorization: `Bearer ${deployment.apiKey}` },
      });
      const metrics = await response.text();
      expect(metrics).toMatch(new RegExp(`outerloop_tasks\\{[^}]*status="ready"[^}]*\\} ${waitingGoals}\\n`));
      const oldest = Number(/^outerloop_oldest_ready_task_seconds\{stage="execute"\} (\S+)/m.exec(metrics)?.[1]);
      expect(oldest).toBeGreaterThan(0);
      const database = new pg.Client({ connectionString: deployment.env["DATABASE_URL"] });
      await database.connect();
      const { rows } = await database.query<{ status: string; n: number; reason: string | null }>(
        "SELECT status, count(*)::integer AS n, min(reason) AS reason FROM tasks GROUP BY status ORDER BY status",
      );
      await database.end();
      expect(rows).toEqual([
        { status: "failed", n: 1, reason: expect.stringContaining("model_said_no") as string },
        { status: "ready", n: waitingGoals, reason: null },
      ]);
    });
  });
}

const chromiumPath = findChromium();
for (const size of realSizes) {
  if (chromiumPath === undefined)
    notRun(`the operators' pages on ${size}`, "there is no Chromium (apt-get install chromium)");
  else describeWithServers(`operators on ${size}`, () => backlogCases(size, chromiumPath));
}
