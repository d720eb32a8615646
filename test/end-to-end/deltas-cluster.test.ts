/** A message to one node of a Cluster reaches those who hear at another. */
import { startClusterGroup } from "../crash/support/redis-groups.ts";
import { describeWithServers } from "../support/servers.ts";
import { deltaCases } from "./deltas.cases.ts";

describeWithServers("deltas on a Cluster", () => deltaCases("redis", startClusterGroup));
