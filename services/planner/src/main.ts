import { runService } from "@outerloop/core";
import { plannerService } from "./service.ts";

await runService(plannerService);
