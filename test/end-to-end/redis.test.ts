import { describeWithServers } from "../support/servers.ts";
import { goalCases } from "./goal.cases.ts";

describeWithServers("Postgres and Valkey", () => goalCases("redis", "OpenAI Chat Completions"));
