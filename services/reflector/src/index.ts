export { createReflector } from "./reflector.ts";
export { reflectorService } from "./service.ts";
