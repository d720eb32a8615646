export * from "./evidence.ts";
export * from "./execute.ts";
export * from "./plan.ts";
export * from "./prompt-parts.ts";
export * from "./prompts.ts";
export * from "./reflect.ts";
