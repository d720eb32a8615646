/** How models' answers are read: only what cannot be guessed is required, the rest gets a sensible default. */
import { z } from "zod";
import type { JsonObject } from "./json.ts";

/** null, absent and of another type all read as the default: models leave out what they think is obvious. */
export const lenient = <Schema extends z.ZodType>(schema: Schema, fallback: z.output<Schema>) =>
  schema
    .nullish()
    .catch(fallback)
    .transform((value) => value ?? fallback);

/** Items that can be read; those that cannot are left out. */
export const readableItems = <Schema extends z.ZodType>(schema: Schema, most: number) =>
  z
    .array(z.unknown())
    .nullish()
    .catch([])
    .transform((items) =>
      (items ?? [])
        .flatMap((item): z.output<Schema>[] => {
          const read = schema.safeParse(item);
          return read.success ? [read.data] : [];
        })
        .slice(0, most),
    );

/** Strict in the sense of OpenAI's and Anthropic's structured output: every property required, none additional. */
export function strict(properties: JsonObject): JsonObject {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

export const textOutput = { type: "string" } as const;
export const textsOutput = { type: "array", items: textOutput } as const;
