import { runService } from "@outerloop/core";
import { reflectorService } from "./service.ts";

await runService(reflectorService);
