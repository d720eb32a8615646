/** What the other tasks of the goal came to. */
import { z } from "zod";
import type { Skill } from "@outerloop/core/domain";
import { defineTool } from "../tool.ts";

/** Characters of one task's result in the list. */
export const maxTaskResultChars = 2000;

export const listCompleted = defineTool({
  name: "list_completed",
  version: "1",
  description: "List the finished tasks of this goal with their results.",
  effect: "pure",
  timeoutMs: 30_000,
  input: z.object({}),
  async run(_args, context) {
    const tasks = await context.finishedTasks();
    if (tasks.length === 0) return { ok: true, text: "No task of this goal has finished yet." };
    return {
      ok: true,
      text: tasks.map((task) => `${task.key} (${task.status}) ${task.text}\n${clip(task.result)}`).join("\n\n"),
    };
  },
});

function clip(text: string): string {
  return text.length <= maxTaskResultChars
    ? text
    : `${text.slice(0, maxTaskResultChars)} … (${text.length - maxTaskResultChars} more characters)`;
}

export const tasksSkill: Skill = {
  name: "tasks",
  description: "Looks at the goal's other tasks.",
  tools: [listCompleted],
};
