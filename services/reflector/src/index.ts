export { createReflector } from "./reflector.ts";
