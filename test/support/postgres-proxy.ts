/** A wire to Postgres that breaks where a test says: under the first statement that matches, once a fault. */
import { createServer, connect, type AddressInfo, type Socket } from "node:net";

export interface Fault {
  readonly name: string;
  /** Matched against what the client sends. */
  readonly statement: RegExp;
  /** `unsent`: the statement never reaches the server. `unanswered`: it is done there, and its answer is lost. */
  readonly cut: "unsent" | "unanswered";
}

export interface PostgresProxy {
  /** As the target's, through this wire. */
  readonly url: string;
  /** The names of the faults that happened, in their order. */
  readonly met: readonly string[];
  close(): Promise<void>;
}

export async function startPostgresProxy(target: string, faults: readonly Fault[]): Promise<PostgresProxy> {
  const { hostname, port } = new URL(target);
  const left = new Set(faults);
  const met: string[] = [];
  const sockets = new Set<Socket>();

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let answerIsLost = false;
    const cut = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", cut);
      socket.on("close", () => {
        sockets.delete(socket);
        cut();
      });
    }
    client.on("data", (bytes) => {
      const fault = [...left].find(({ statement }) => statement.test(bytes.toString("latin1")));
      if (fault !== undefined) {
        left.delete(fault);
        met.push(fault.name);
        if (fault.cut === "unsent") return cut();
        answerIsLost = true;
      }
      upstream.write(bytes);
    });
    // Postgres answers when the statement has committed, not before.
    upstream.on("data", (bytes) => (answerIsLost ? cut() : client.write(bytes)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  const url = new URL(target);
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    met,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
