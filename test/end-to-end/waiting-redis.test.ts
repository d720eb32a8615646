import { describeWithServers } from "../support/servers.ts";
import { waitingCases } from "./waiting.cases.ts";

describeWithServers("Postgres and Valkey", () => waitingCases("redis"));
