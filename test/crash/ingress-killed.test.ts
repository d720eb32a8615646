/** Ingress dies when a goal stands and before anybody is told: the same request again is answered with that goal. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deploy, type Deployment } from "../support/deployments.ts";
import { endProcesses } from "../support/processes.ts";
import { describeWithServers } from "../support/servers.ts";
import { check } from "./support/check.ts";
import { recordFigures, sized } from "./support/size.ts";
import { startWorkload, type Workload } from "./support/workload.ts";

const rounds = sized(4, 100);

describeWithServers("ingress killed between commit and reply", () => {
  let workload: Workload;
  let deployment: Deployment;
  beforeAll(async () => {
    workload = await startWorkload({ calls: ["append"] });
    deployment = await deploy({ size: "redis", env: workload.env });
  }, 90_000);
  afterAll(async () => {
    await deployment?.stop();
    await endProcesses();
    await workload?.close();
  });

  test(
    `${rounds} times: one goal for each Idempotency-Key, and every one of them ends`,
    async () => {
      const { port } = new URL(deployment.url);
      const keys: { readonly key: string; readonly number: number }[] = [];
      const post = (key: string, number: number) =>
        fetch(`${deployment.url}/v1/goals`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${deployment.apiKey}`,
            "content-type": "application/json",
            "idempotency-key": key,
            connection: "close",
          },
          body: JSON.stringify({ text: workload.textOf(number) }),
        });
      /** The request that had no answer, again, and once more. */
      async function postAgain({ key, number }: { readonly key: string; readonly number: number }): Promise<void> {
        const answers = [await post(key, number), await post(key, number)];
        expect(answers.map((answer) => answer.status)).toEqual([202, 202]);
        const [first, second] = (await Promise.all(answers.map((answer) => answer.json()))) as { id: string }[];
        expect(second!.id).toBe(first!.id);
        workload.accept(first!.id, number);
      }

      const first = deployment.processes.get("ingress")!;
      first.kill("SIGTERM");
      await first.exited;
      for (let round = 0; round < rounds; round += 1) {
        // A key that is known makes no goal, so it does not pass the failpoint.
        const ingress = await deployment.start("ingress", "ingress", {
          PORT: port,
          OUTERLOOP_FAILPOINT: "submit.committed",
        });
        const last = keys.at(-1);
        if (last !== undefined) await postAgain(last);
        const next = { key: randomUUID(), number: workload.take() };
        keys.push(next);
        await expect(post(next.key, next.number)).rejects.toThrow();
        expect(await ingress.exited).toBe("SIGKILL");
      }
      await deployment.start("ingress", "ingress", { PORT: port });
      await postAgain(keys.at(-1)!);

      const checked = await check(deployment, { workload, withinMs: 60_000 });
      const database = new pg.Client({ connectionString: deployment.databaseUrl });
      await database.connect();
      const { rows } = await database.query<{ goals: number; keys: number }>(
        "SELECT (SELECT count(*) FROM goals)::integer AS goals, (SELECT count(*) FROM idempotency_keys)::integer AS keys",
      );
      await database.end();
      recordFigures("ingress killed between commit and reply", { kills: rounds, ...rows[0], ...checked });
      expect(rows[0]).toEqual({ goals: rounds, keys: rounds });
      expect(checked.broken).toEqual([]);
    },
    rounds * 10_000 + 90_000,
  );
});
