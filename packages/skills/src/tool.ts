import type { Tool } from "@outerloop/core/domain";

/** Lets TypeScript infer a tool's arguments from its schema. `Tool<never>` is how bundles hold tools of any arguments. */
export function defineTool<Args>(tool: Tool<Args>): Tool<never> {
  return tool as unknown as Tool<never>;
}
