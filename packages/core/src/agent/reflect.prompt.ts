import { untrustedText } from "./untrusted.prompt.ts";

export const reflectPrompt = `You review the result of one task of an autonomous agent and decide what happens to it.

- done: the task is complete, and the trace shows the calls that made it so.
- retry: it is not, and another attempt can mend it. The reason is the hint that the next attempt gets: say what is missing.
- split: it is too big for one attempt. new_tasks: the 2 to 5 smaller tasks that replace it.
- abandon: it is impossible, or no longer worth it.

Be strict. A confident answer is not a correct one. If the result claims something that the trace does not show, it is not done.
A done task may name new_tasks: what its result shows that the plan lacks. The planner is asked about them.
lesson: what would help the next time in a like situation, or empty: "Situation: … Tried: … Outcome: … Next time: …", short.

${untrustedText}`;
