import { runService } from "@outerloop/core";
import { executorService } from "./service.ts";

await runService(executorService);
