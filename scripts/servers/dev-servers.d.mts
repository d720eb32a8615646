export type Mode = "test" | "durable";

export interface Servers {
  readonly databaseUrl: string;
  readonly redisUrl: string;
}

export type EnsuredServers =
  | (Servers & { readonly kind: "available"; release(): Promise<void> })
  | { readonly kind: "missing"; readonly why: string; readonly howTo: string };

export interface EnsureOptions {
  readonly mode: Mode;
  readonly until: "released" | "stopped";
  readonly prepare?: (servers: Servers & { readonly first: boolean }) => Promise<void>;
}

export function ensureServers(options: EnsureOptions): Promise<EnsuredServers>;
