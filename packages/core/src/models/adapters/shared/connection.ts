import { defaultTimeouts, type Timeouts } from "./live-call.ts";
import type { FaultContext } from "./provider-error.ts";

/** How an adapter reaches its server. */
export interface Connection {
  /** The provider's name in the settings: two providers may be of one kind. */
  readonly name: string;
  /** Absent for a server that needs none. */
  readonly apiKey?: string | undefined;
  /** Absent for the provider's own. */
  readonly baseURL?: string | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  readonly fetch?: typeof fetch | undefined;
  /** As the kind's schema read them. */
  readonly options?: Readonly<Record<string, unknown>> | undefined;
}

/** SDKs refuse to start without a key, and look for one in the environment and in files. */
export const noKey = "no-key";

export function timeoutsOf(connection: Connection): Timeouts {
  return { ...defaultTimeouts, ...connection.timeouts };
}

export function contextOf(connection: Connection, where: string): FaultContext {
  return { where, secrets: connection.apiKey ? [connection.apiKey] : [] };
}

/** The SDK's own limit is only a backstop: ours must end the call first, since it knows why. */
export function sdkTimeoutMs(connection: Connection): number {
  return timeoutsOf(connection).totalMs + 1000;
}
