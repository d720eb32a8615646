/** node test/bench/flows/worker.ts plan|execute|reflect full|empty: one process of the bare flows. */
import { FlowProducer, Worker } from "bullmq";
import { Redis } from "ioredis";
import { firstPlanName, flowKinds, flowOf, flowQueues, resultOf, type FlowKind, type FlowQueue } from "./shape.ts";

const queue = process.argv[2] as FlowQueue;
const kind = process.argv[3] as FlowKind;
if (!flowQueues.includes(queue) || !flowKinds.includes(kind))
  throw new Error(`no queue is called ${queue}, or no kind ${kind}`);
const result = resultOf(kind);
const url = process.env["REDIS_URL"] ?? "";
const prefix = process.env["OUTERLOOP_QUEUE_PREFIX"] ?? "";
const concurrency = Number(process.env["OUTERLOOP_BENCH_CONCURRENCY"] ?? "");

const connection = new Redis(url, { maxRetriesPerRequest: null });
const flows = queue === "plan" ? new FlowProducer({ connection: new Redis(url), prefix }) : null;
const worker = new Worker<{ goal: string }>(
  queue,
  async (job) => {
    if (job.name === firstPlanName) await flows?.add(flowOf(job.data.goal, kind));
    return result;
  },
  { connection, prefix, concurrency },
);
await worker.waitUntilReady();
process.stdout.write(`${JSON.stringify({ event: "ready", queue })}\n`);
process.once("SIGTERM", () => process.exit(0));
