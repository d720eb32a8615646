export type { ApprovalFilter, Approvals } from "./approvals.ts";
export { createClient, type Client, type ClientSettings, type Health } from "./client.ts";
export { ApiError, ConnectionError, type ClientRetry } from "./errors.ts";
export type { CallOptions, CreateOptions, GoalFilter, Goals } from "./goals.ts";
export { allItems, type Page } from "./pages.ts";
export type { Waiting } from "./waiting.ts";
export type { WatchOptions } from "./watch.ts";
