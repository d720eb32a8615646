import { openDatabase } from "@outerloop/core";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";
import { conformanceCases } from "./conformance.cases.ts";
import { conformanceSeeds } from "./size.ts";

conformanceCases("the embedded database", conformanceSeeds.embedded, () =>
  openDatabase({ kind: "embedded", folder: null }),
);

describeWithServers("PostgreSQL", () => {
  conformanceCases("PostgreSQL", conformanceSeeds.postgres, async () =>
    openDatabase({
      kind: "server",
      url: (await cloneDatabase()).url,
      maxConnections: 1,
      applicationName: "conformance",
    }),
  );
});
