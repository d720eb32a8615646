import type { Scenario } from "../bench.ts";
import { embedded } from "./embedded.ts";
import { floors } from "./floors.ts";
import { goal } from "./goal.ts";
import { history } from "./history.ts";
import { idle } from "./idle.ts";
import { ingest } from "./ingest.ts";
import { recall } from "./recall.ts";
import { recover } from "./recover.ts";
import { scale } from "./scale.ts";
import { slow } from "./slow.ts";

/** In the order in which they run. */
export const scenarios = {
  floors,
  goal,
  scale,
  slow,
  embedded,
  ingest,
  recover,
  idle,
  recall,
  history,
} as const satisfies Readonly<Record<string, Scenario>>;
export type ScenarioName = keyof typeof scenarios;
export const scenarioNames = Object.keys(scenarios) as readonly ScenarioName[];

/** Without a choice. The history of a million goals takes minutes to write. */
export const defaultScenarios = scenarioNames.filter((name) => name !== "history");
