import { openDatabase } from "@outerloop/core";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";
import { doorCases } from "./door.cases.ts";

describeWithServers("PostgreSQL", () =>
  doorCases("PostgreSQL", async () =>
    openDatabase({ kind: "server", url: (await cloneDatabase()).url, maxConnections: 8, applicationName: "door" }),
  ),
);
