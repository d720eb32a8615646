/** Posts goals as a client without patience does: one request each, no retry, its status and its time kept. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Deployment } from "../../support/deployments.ts";
import type { Workload } from "./workload.ts";

export interface Posts {
  readonly count: number;
  /** By status; `none` where no answer came. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** 503s that did not say when to come again. */
  readonly withoutRetryAfter: number;
}

export interface PostOptions {
  readonly forMs: number;
  readonly everyMs: number;
  /** How long an answer is waited for. */
  readonly patienceMs?: number;
}

/** Goals that are answered with 202 count as accepted. A request does not wait for the one before. */
export async function timePosts(deployment: Deployment, workload: Workload, options: PostOptions): Promise<Posts> {
  const { forMs, everyMs, patienceMs = 60_000 } = options;
  const pending: Promise<void>[] = [];
  const times: number[] = [];
  const statuses: Record<string, number> = {};
  let withoutRetryAfter = 0;
  const begin = performance.now();

  async function post(): Promise<void> {
    const start = performance.now();
    const number = workload.take();
    let status = "none";
    try {
      const response = await fetch(`${deployment.url}/v1/goals`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${deployment.apiKey}`,
          "content-type": "application/json",
          "idempotency-key": randomUUID(),
        },
        body: JSON.stringify({ text: workload.textOf(number) }),
        signal: AbortSignal.timeout(patienceMs),
      });
      status = String(response.status);
      const body = (await response.json()) as { readonly id?: string };
      if (response.status === 202) workload.accept(body.id!, number);
      else if (response.status === 503 && response.headers.get("retry-after") === null) withoutRetryAfter += 1;
    } catch {
      // No answer is no promise.
    }
    statuses[status] = (statuses[status] ?? 0) + 1;
    times.push(performance.now() - start);
  }

  while (performance.now() - begin < forMs) {
    pending.push(post());
    await sleep(everyMs);
  }
  await Promise.all(pending);
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0);
  return { count: times.length, statuses, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), withoutRetryAfter };
}

const postAgainMs = 200;

/** One goal, whatever becomes of ingress on the way: the same request with the same key until it is answered. */
export async function postUntilAccepted(deployment: Deployment, workload: Workload): Promise<void> {
  const number = workload.take();
  const key = randomUUID();
  // Ends when it is accepted; a test's own time bounds it.
  for (;;) {
    try {
      const response = await fetch(`${deployment.url}/v1/goals`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${deployment.apiKey}`,
          "content-type": "application/json",
          "idempotency-key": key,
          connection: "close",
        },
        body: JSON.stringify({ text: workload.textOf(number) }),
      });
      const body = (await response.json()) as { readonly id?: string };
      if (response.status === 202) return workload.accept(body.id!, number);
    } catch {
      // It is away.
    }
    await sleep(postAgainMs);
  }
}
