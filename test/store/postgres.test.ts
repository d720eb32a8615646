import { openDatabase } from "@outerloop/core";
import { cloneDatabase, describeWithServers } from "../support/servers.ts";
import { budgetCases } from "./budget.cases.ts";
import { doorBatchCases } from "./door-batches.cases.ts";
import { doorCases } from "./door.cases.ts";
import { modelControlCases } from "./model-control.cases.ts";
import { questionCases } from "./question.cases.ts";

describeWithServers("PostgreSQL", () => {
  const open = async () =>
    openDatabase({ kind: "server", url: (await cloneDatabase()).url, maxConnections: 8, applicationName: "door" });
  doorCases("PostgreSQL", open);
  doorBatchCases("PostgreSQL", open);
  budgetCases("PostgreSQL", open);
  questionCases("PostgreSQL", open);
  modelControlCases("PostgreSQL", open);
});
