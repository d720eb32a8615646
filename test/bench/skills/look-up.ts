/** The tool of the workload `goal`, loaded as an operator's own skill (OUTERLOOP_SKILL_MODULES): pure, 1 KB, at once. */
import { z } from "zod";
import { benchTool, filler } from "../provider.ts";

const resultChars = 800;
const text = filler("Figures: ", resultChars);

export default {
  name: "bench",
  description: "What the bench's tasks call.",
  tools: [
    {
      name: benchTool,
      version: "1",
      description: "Look up figures.",
      effect: "pure",
      timeoutMs: 30_000,
      input: z.object({ query: z.string() }),
      run: () => ({ ok: true, text }),
    },
  ],
};
