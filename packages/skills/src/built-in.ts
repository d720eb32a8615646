import type { Skill } from "@outerloop/core/domain";
import { createFilesSkill } from "./files/index.ts";
import { notesSkill } from "./notes/index.ts";
import { tasksSkill } from "./tasks/index.ts";
import { createWaitingSkill } from "./waiting/index.ts";

/** The skills that every process has. */
export function createBuiltInSkills(): Skill[] {
  return [createFilesSkill(), notesSkill, tasksSkill, createWaitingSkill()];
}
