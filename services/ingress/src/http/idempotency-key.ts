import { z } from "zod";

/** The header that makes a POST safe to repeat. */
export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e][\x20-\x7e]{0,254}$/, "must be 1 to 255 printable ASCII characters");
