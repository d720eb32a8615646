export { createPlanner } from "./planner.ts";
export { plannerService } from "./service.ts";
