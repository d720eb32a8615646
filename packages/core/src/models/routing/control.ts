/**
 * What all replicas know together of the models that they call: which ones are away, and how much of a limit is used. The
 * port that routing stands on; `store/model-control.ts` keeps it in Postgres.
 */

/** A model that is not to be called for now. One without a row may be. */
export interface HeldTarget {
  /** `provider/model`. */
  readonly target: string;
  /** `open`: until a probe succeeds. `cooling`: until its time is over, as the provider said. */
  readonly state: "open" | "cooling";
  readonly reason: string;
  /** Of `open`, to the next probe. Not below 0. */
  readonly leftMs: number;
  /** Whether a probe is under way. */
  readonly probing: boolean;
}

/** A limit of all replicas together over a sliding window. */
export interface LimitScope {
  /** `provider` or `provider/model`. */
  readonly scope: string;
  readonly requests: number | null;
  readonly tokens: number | null;
  readonly tenant_requests: number | null;
  readonly tenant_tokens: number | null;
}

export interface TakeRequest {
  readonly tenantId: string;
  /** All of them are taken from, or none. */
  readonly scopes: readonly LimitScope[];
  /** What the call may take at most. */
  readonly tokens: number;
  readonly windowMs: number;
  /** Whether it was sent away before: those who waited go before those who come. */
  readonly waited: boolean;
}

/** What was taken, to be settled by what was used. */
export interface Ticket {
  readonly scopes: readonly string[];
  readonly tenantId: string;
  readonly bucket: number;
  readonly tokens: number;
  readonly windowMs: number;
}

export type Taken =
  | { readonly kind: "taken"; readonly ticket: Ticket }
  /** When its turn comes, about. */
  | { readonly kind: "full"; readonly scope: string; readonly waitMs: number };

export interface ModelControl {
  readHeld(): Promise<readonly HeldTarget[]>;
  /** Holds it back for all; one that is held back for longer stays so. */
  hold(target: string, state: HeldTarget["state"], reason: string, forMs: number): Promise<void>;
  /** Whether this process is the one that probes it now. */
  claimProbe(target: string, forMs: number): Promise<boolean>;
  /** The next probe comes later each time. */
  probeFailed(target: string, reason: string, openMs: number, maxOpenMs: number): Promise<void>;
  release(target: string): Promise<void>;
  take(request: TakeRequest): Promise<Taken>;
  settle(ticket: Ticket, tokens: number): Promise<void>;
}
