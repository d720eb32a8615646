export { createApp, type IngressApp } from "./app.ts";
export { ensureFirstKey, type FirstKey } from "./first-key.ts";
export type { IngressOptions, IngressParts } from "./parts.ts";
export { ingressSettings, startIngress, type Ingress, type ListenOptions } from "./server.ts";
