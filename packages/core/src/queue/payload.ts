/** A job's data: ids and nothing else, since Redis keeps it in clear text and may lose it. */
import { z } from "zod";
import type { GoalId, TaskId } from "../domain/ids.ts";

export const payloadSchema = z.object({
  goal: z
    .string()
    .regex(/^g_/)
    .transform((id) => id as GoalId),
  tasks: z
    .array(
      z
        .string()
        .regex(/^t_/)
        .transform((id) => id as TaskId),
    )
    .max(8),
});
export type JobPayload = { readonly goal: GoalId; readonly tasks: readonly TaskId[] };
