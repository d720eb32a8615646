import { realSizes } from "../support/deployments.ts";
import { describeWithServers } from "../support/servers.ts";
import { deltaCases } from "./deltas.cases.ts";

for (const size of realSizes) describeWithServers(`deltas on ${size}`, () => deltaCases(size));
