import { describeWithServers } from "../support/servers.ts";
import { goalCases } from "./goal.cases.ts";

describeWithServers("Postgres with its queue backend", () => goalCases("postgres", "Anthropic Messages"));
