import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { startContractServer, type ContractServer } from "@outerloop/client/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect, findDataDir, userFolder } from "./connection.ts";
import { tempFolder } from "./testing/temp-folder.ts";

let server: ContractServer;
beforeEach(async () => void (server = await startContractServer()));
afterEach(() => server.close());

const running = (changes = {}) => JSON.stringify({ url: server.url, pid: 1, instance: server.instance, ...changes });
const at = (cwd: string, env: NodeJS.ProcessEnv = {}, root = "/nowhere") => ({ cwd, env, root });
const keyUsed = async (connection: Awaited<ReturnType<typeof connect>>) => {
  await connection.client.goals.page();
  return server.received.at(-1)?.headers.authorization;
};

describe("the server of a command", () => {
  test("is that of the data folder where the user stands, with its key", async () => {
    const cwd = await tempFolder({ ".outerloop/server.json": running(), ".outerloop/api-key": `${server.apiKey}\n` });
    const connection = await connect({}, at(cwd));
    expect(connection.client.baseUrl).toBe(server.url);
    expect(connection.dataDir).toBe(join(cwd, ".outerloop"));
    expect(await keyUsed(connection)).toBe(`Bearer ${server.apiKey}`);
  });

  test("is that of the checkout where the user's folder has none", async () => {
    const root = await tempFolder({ ".outerloop/server.json": running(), ".outerloop/api-key": server.apiKey });
    const cwd = await tempFolder({ ".outerloop/goals/x": "old files, no server" });
    expect((await connect({}, at(cwd, {}, root))).dataDir).toBe(join(root, ".outerloop"));
  });

  test("is that of OUTERLOOP_DATA_DIR before all folders", async () => {
    const cwd = await tempFolder({
      "data/server.json": running(),
      "data/api-key": server.apiKey,
      ".outerloop/server.json": "{}",
    });
    expect((await connect({}, at(cwd, { OUTERLOOP_DATA_DIR: "data" }))).dataDir).toBe(join(cwd, "data"));
    expect(await findDataDir(at(cwd, { OUTERLOOP_DATA_DIR: "not-yet" }, "/root-of-it"))).toBe("/root-of-it/not-yet");
  });

  test("is the one that is named, before the one that runs here", async () => {
    const cwd = await tempFolder({ ".outerloop/server.json": running({ url: "http://127.0.0.1:1" }) });
    expect((await connect({ url: `${server.url}/`, key: "k" }, at(cwd))).client.baseUrl).toBe(server.url);
    expect(
      (await connect({}, at(cwd, { OUTERLOOP_URL: server.url.replace("http://", ""), OUTERLOOP_API_KEY: "k" }))).client
        .baseUrl,
    ).toBe(server.url);
    await expect(connect({ url: "ftp://x", key: "k" }, at(cwd))).rejects.toThrow(
      '"ftp://x" is not the address of a server',
    );
  });
});

describe("where no server runs", () => {
  test("a command says how to start one", async () => {
    await expect(connect({}, at(await tempFolder()))).rejects.toThrow("No server is running. Start one: npm start");
  });

  test("what an earlier one left behind is not mistaken for one", async () => {
    const port = await freePort();
    const cwd = await tempFolder({
      ".outerloop/server.json": running({ url: `http://127.0.0.1:${port}` }),
      ".outerloop/api-key": "secret",
    });
    await expect(connect({}, at(cwd))).rejects.toThrow(
      /No server is running.*\n.*server\.json names .*which does not answer/,
    );
  });

  test("another server on its port is not handed the key", async () => {
    const cwd = await tempFolder({
      ".outerloop/server.json": running({ instance: "an older one" }),
      ".outerloop/api-key": "secret",
    });
    await expect(connect({}, at(cwd))).rejects.toThrow("where another one answers");
    expect(server.received.map((each) => each.headers.authorization)).toEqual([undefined]);
  });
});

describe("the key", () => {
  test("that was given comes before the one in the data folder", async () => {
    const cwd = await tempFolder({ ".outerloop/server.json": running(), ".outerloop/api-key": "other" });
    expect(await keyUsed(await connect({ key: server.apiKey }, at(cwd)))).toBe(`Bearer ${server.apiKey}`);
    expect(await keyUsed(await connect({}, at(cwd, { OUTERLOOP_API_KEY: server.apiKey })))).toBe(
      `Bearer ${server.apiKey}`,
    );
  });

  test("of this machine's server is sent to this machine only", async () => {
    const cwd = await tempFolder({ ".outerloop/api-key": server.apiKey });
    expect(await keyUsed(await connect({ url: server.url }, at(cwd)))).toBe(`Bearer ${server.apiKey}`);
    await expect(connect({ url: "https://outerloop.example.com" }, at(cwd))).rejects.toThrow(
      "A key is needed for https://outerloop.example.com: --key or OUTERLOOP_API_KEY.",
    );
  });
});

test("the user stands where npm says, not where it changed to", () => {
  expect(userFolder({ OUTERLOOP_CWD: "/home/me" }, "/checkout")).toBe("/home/me");
  expect(userFolder({}, "/checkout")).toBe("/checkout");
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
