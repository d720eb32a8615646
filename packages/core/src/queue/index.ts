export { addJobs, openQueueBackend, queueNames, type JobQueue, type QueueBackend } from "./backend.ts";
export type { ClaimWatch } from "./claim-watch.ts";
export { openEventBus, type EventBus } from "./event-bus.ts";
export { fromChildSchema, toChildSchema, type FromChild } from "./isolation-messages.ts";
export type { JobPayload } from "./payload.ts";
export { reconcileOnce } from "./reconciler.ts";
export type { Isolation } from "./isolation.ts";
export { workClaim, type WorkEnd } from "./work-claim.ts";
export { startWorker, type Run, type StageHandler, type WorkerShell } from "./worker.ts";
