/** What a watcher sees. Numbers are the goal's own sequence: no gap, no repeat (W9). */
export const eventTypes = [
  "goal.created",
  "goal.understood",
  "goal.asked",
  "goal.answered",
  "goal.guarded",
  "goal.planned",
  "goal.paused",
  "goal.resumed",
  "goal.succeeded",
  "goal.failed",
  "goal.abandoned",
  "goal.cancelled",
  "task.created",
  "task.started",
  "task.waiting",
  "task.reflected",
  "task.done",
  "task.retried",
  "task.split",
  "task.failed",
  "task.abandoned",
  "step.model",
  "step.tool",
  "approval.requested",
  "approval.decided",
  "memory.written",
  "budget.warning",
] as const;
export type EventType = (typeof eventTypes)[number];

export interface GoalEvent {
  /** Counted from 1 in its goal. */
  readonly seq: number;
  readonly type: EventType;
  readonly taskId: string | null;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: string;
}

export interface NewEvent {
  readonly type: EventType;
  readonly task?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Whether a watcher's stream ends with this event. */
export function endsStream(type: EventType): boolean {
  return type === "goal.succeeded" || type === "goal.failed" || type === "goal.abandoned" || type === "goal.cancelled";
}
