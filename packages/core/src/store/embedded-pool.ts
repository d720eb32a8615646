/**
 * PGlite behind the shape of `pg.Pool`, so that Kysely and BullMQ run on the embedded database unchanged. PGlite is one
 * session: a client that sent BEGIN keeps it until COMMIT or ROLLBACK, everybody else queues. Row locks and SET LOCAL
 * work as on a server; session state is shared by all clients.
 */
import { EventEmitter } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { PGlite, Results } from "@electric-sql/pglite";

interface QueryConfig {
  readonly text: string;
  readonly values?: readonly unknown[];
}
interface QueryResult {
  readonly command: string;
  readonly rowCount: number;
  readonly rows: unknown[];
}

/** First in, first out. */
class Turnstile {
  #tail: Promise<void> = Promise.resolve();

  /** Resolves with the function that lets the next one in. */
  async enter(): Promise<() => void> {
    const before = this.#tail;
    let leave!: () => void;
    this.#tail = new Promise((resolve) => (leave = resolve));
    await before;
    return leave;
  }
}

export class EmbeddedPool extends EventEmitter {
  readonly #pglite: PGlite;
  readonly #turnstile = new Turnstile();

  constructor(pglite: PGlite) {
    super();
    this.#pglite = pglite;
  }

  connect(): Promise<EmbeddedClient> {
    return Promise.resolve(new EmbeddedClient(this.#pglite, this.#turnstile));
  }

  query(text: string | QueryConfig, values?: readonly unknown[]): Promise<QueryResult> {
    return new EmbeddedClient(this.#pglite, this.#turnstile).query(text, values);
  }

  /** The database outlives its pools; whoever opened it closes it. */
  end(): Promise<void> {
    return Promise.resolve();
  }
}

class EmbeddedClient extends EventEmitter {
  readonly #pglite: PGlite;
  readonly #turnstile: Turnstile;
  readonly #unlisten = new Map<string, () => Promise<void>>();
  /** Set while this client has a transaction open. */
  #leave: (() => void) | undefined;

  constructor(pglite: PGlite, turnstile: Turnstile) {
    super();
    this.#pglite = pglite;
    this.#turnstile = turnstile;
  }

  async query(config: string | QueryConfig, values?: readonly unknown[]): Promise<QueryResult> {
    const text = typeof config === "string" ? config : config.text;
    const params = values ?? (typeof config === "string" ? [] : (config.values ?? []));
    const command = commandOf(text);
    const leave = this.#leave ?? (await this.#turnstile.enter());
    // PGlite answers in microtasks: without a turn of the event loop between queries, a busy goal would keep requests,
    // timers and Ctrl-C waiting until it is done.
    await nextTurn();
    let keep = this.#leave !== undefined;
    try {
      if (command === "LISTEN" || command === "UNLISTEN") {
        await this.#subscribe(command, text);
        return { command, rowCount: 0, rows: [] };
      }
      const result = await this.#run(text, params);
      if (command === "BEGIN" || command === "START") {
        this.#leave = leave;
        keep = true;
      }
      return {
        command,
        rowCount: result?.affectedRows || (result?.rows.length ?? 0),
        rows: (result?.rows ?? []) as unknown[],
      };
    } finally {
      if (command === "COMMIT" || command === "ROLLBACK") {
        this.#leave = undefined;
        keep = false;
      }
      if (!keep) leave();
    }
  }

  /** A client that is given back in the middle of a transaction would block everybody for ever. */
  release(): void {
    if (this.#leave === undefined) return;
    const leave = this.#leave;
    this.#leave = undefined;
    void this.#pglite.exec("ROLLBACK").finally(leave);
  }

  async #run(text: string, params: readonly unknown[]): Promise<Results | undefined> {
    if (params.length > 0) return this.#pglite.query(text, params.map(toParameter));
    const results = await this.#pglite.exec(text);
    return results.at(-1);
  }

  async #subscribe(command: string, text: string): Promise<void> {
    const channel = /LISTEN\s+"?([^";\s]+)"?/i.exec(text)?.[1];
    if (channel === undefined) return;
    if (command === "UNLISTEN") {
      await this.#unlisten.get(channel)?.();
      this.#unlisten.delete(channel);
      return;
    }
    if (this.#unlisten.has(channel)) return;
    this.#unlisten.set(
      channel,
      await this.#pglite.listen(channel, (payload) => this.emit("notification", { channel, payload })),
    );
  }
}

/** The statement's first word; SQL files begin with comment lines. */
function commandOf(text: string): string {
  const bare = text.replace(/^(?:\s+|--[^\n]*\n|\/\*[\s\S]*?\*\/)+/, "");
  return /^[a-z]+/i.exec(bare)?.[0].toUpperCase() ?? "";
}

/** As `pg` does it: objects travel as JSON, arrays and bytes as they are. */
function toParameter(value: unknown): unknown {
  if (
    value === null ||
    typeof value !== "object" ||
    value instanceof Date ||
    value instanceof Uint8Array ||
    Array.isArray(value)
  )
    return value;
  return JSON.stringify(value);
}
