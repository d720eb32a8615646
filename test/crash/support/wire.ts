/** A wire to a server, whose packets can be dropped: nothing is closed, nothing is refused, nothing comes any more. */
import { createServer, connect, type AddressInfo, type Socket } from "node:net";

export interface Wire {
  readonly url: string;
  /**
   * Connections that are open now stay open and carry nothing, for good, as after a failover or in a firewall that
   * forgot them. Returns how many.
   */
  freeze(): number;
  /** Whether new connections carry anything. */
  dropNew(drop: boolean): void;
  close(): Promise<void>;
}

export async function startWire(target: string): Promise<Wire> {
  const { hostname, port } = new URL(target);
  const frozen = new WeakSet<Socket>();
  const clients = new Set<Socket>();
  const sockets = new Set<Socket>();
  let drops = false;

  const server = createServer((client) => {
    clients.add(client);
    sockets.add(client);
    client.on("error", () => undefined);
    client.on("close", () => {
      clients.delete(client);
      sockets.delete(client);
    });
    if (drops) {
      frozen.add(client);
      client.resume();
      return;
    }
    const upstream = connect(Number(port), hostname);
    sockets.add(upstream);
    upstream.on("error", () => undefined);
    upstream.on("close", () => {
      sockets.delete(upstream);
      if (!frozen.has(client)) client.destroy();
    });
    // A frozen client's end is no news to the server either: it goes on holding what it holds.
    client.on("close", () => void (frozen.has(client) || upstream.destroy()));
    client.on("data", (bytes) => void (frozen.has(client) || upstream.write(bytes)));
    upstream.on("data", (bytes) => void (frozen.has(client) || client.write(bytes)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(target);
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    freeze() {
      for (const client of clients) frozen.add(client);
      return clients.size;
    },
    dropNew: (drop) => void (drops = drop),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
