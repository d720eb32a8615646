import { z } from "zod";

/** Text that Postgres can keep: it takes neither NUL nor half of a surrogate pair. */
export const storableText = z
  .string()
  .refine((text) => !text.includes("\0") && text.isWellFormed(), "must be well-formed Unicode without NUL");
