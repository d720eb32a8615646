export { createExecutor } from "./executor.ts";
export { executorService } from "./service.ts";
