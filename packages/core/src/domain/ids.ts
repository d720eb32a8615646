/** Ids are branded per entity, so that a task's id cannot be passed where a goal's is wanted. */
declare const brand: unique symbol;
type Id<Entity extends string> = string & { readonly [brand]: Entity };

export type GoalId = Id<"goal">;
export type TaskId = Id<"task">;
export type StepId = Id<"step">;
export type MemoryId = Id<"memory">;
export type LeaseId = Id<"lease">;
export type WriteId = Id<"write">;
export type TenantId = Id<"tenant">;
export type KeyId = Id<"key">;
/** Approvals are waits, so this is an approval's id too. */
export type WaitId = Id<"wait">;
export type QuestionId = Id<"question">;
export type ModelTestId = Id<"modelTest">;

/** Crockford's base 32 in lower case: no i, l, o or u, so an id survives being read aloud. */
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

/** Where randomness comes from; `crypto.getRandomValues` in production, a seeded one in the simulator. */
export type RandomBytes = (size: number) => Uint8Array;

const prefixes = {
  goal: "g",
  task: "t",
  step: "s",
  memory: "m",
  lease: "l",
  write: "w",
  key: "k",
  wait: "a",
  question: "q",
  modelTest: "mt",
} as const;

type Prefixed = {
  goal: GoalId;
  task: TaskId;
  step: StepId;
  memory: MemoryId;
  lease: LeaseId;
  write: WriteId;
  key: KeyId;
  wait: WaitId;
  question: QuestionId;
  modelTest: ModelTestId;
};

/** 16 characters of 5 bits: 80 random bits, a 50 % chance of one collision only after 10^12 ids. */
const idLength = 16;

export type CreateId = <Entity extends keyof Prefixed>(entity: Entity) => Prefixed[Entity];

/** `createIds(random)("goal")` → `g_` and 16 characters. Never all digits and never with a colon: BullMQ refuses both in a job id. */
export function createIds(random: RandomBytes): CreateId {
  return (entity) => {
    let id = "";
    for (const byte of random(idLength)) id += alphabet.charAt(byte & 31);
    return `${prefixes[entity]}_${id}` as never;
  };
}
