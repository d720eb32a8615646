import { openDatabase } from "@outerloop/core";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";
import { embeddingCases } from "./embeddings.cases.ts";

describeWithServers("PostgreSQL", () => {
  embeddingCases("PostgreSQL", async () =>
    openDatabase({ kind: "server", url: (await cloneDatabase()).url, maxConnections: 8, applicationName: "vectors" }),
  );
});
