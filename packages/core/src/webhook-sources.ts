/** What `OUTERLOOP_WEBHOOKS` says: who may begin goals by sending events, how they sign, and what goal an event begins. */
import { createSecretKey, type KeyObject } from "node:crypto";
import { z } from "zod";
import { newGoalSchema, requestLimits, storableText } from "./domain/api.ts";
import type { TenantId } from "./domain/ids.ts";
import { defaultTenant } from "./domain/principal.ts";
import { parsePath, parseTemplate, type Template } from "./domain/template.ts";

/** Secrets are key objects: no log, no error and no JSON shows what is in one. Any of a source's admits. */
export type WebhookSigning =
  /** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
  | { readonly scheme: "standard"; readonly secrets: readonly KeyObject[] }
  /** HMAC-SHA256 of the body in hex, as GitHub and many others sign. */
  | {
      readonly scheme: "sha256";
      readonly secrets: readonly KeyObject[];
      readonly signatureHeader: string;
      readonly signaturePrefix: string;
      /** What names a delivery; null where nothing does, and the body alone tells one from another. */
      readonly deliveryHeader: string | null;
    };

export interface WebhookSource {
  readonly name: string;
  readonly tenantId: TenantId;
  readonly signing: WebhookSigning;
  /** An event that is not like this begins no goal: one of these values in each of these places. */
  readonly when: {
    readonly headers: readonly { readonly name: string; readonly values: readonly string[] }[];
    readonly fields: readonly { readonly path: readonly string[]; readonly values: readonly unknown[] }[];
  };
  /** null: the payload's own `text` is the goal. */
  readonly goal: Template | null;
  readonly session: Template | null;
  /** The rest of the request that such a goal would have been. */
  readonly settings: z.input<typeof settingsSchema>;
}

export interface WebhookProblem {
  readonly field: string;
  readonly message: string;
}

const variable = "OUTERLOOP_WEBHOOKS";
const maxSources = 200;
const maxTemplateChars = 20_000;
/** Ingress adds two of its own. */
const maxLabels = requestLimits.maxLabels - 2;

const settingsSchema = newGoalSchema.pick({
  budget: true,
  planning: true,
  questions: true,
  priority: true,
  labels: true,
});

const standardSecret = z
  .string()
  .regex(/^(whsec_)?[A-Za-z0-9+/]+={0,2}$/, "must be base64, with or without whsec_ before it")
  .transform((text) => Buffer.from(text.replace(/^whsec_/, ""), "base64"))
  .refine((bytes) => bytes.length >= 16 && bytes.length <= 512, "must be base64 of 16 to 512 bytes")
  .transform((bytes) => createSecretKey(bytes));
const plainSecret = z
  .string()
  .min(16, "must be at least 16 characters long, such as openssl rand -hex 32")
  .max(1000, "must be at most 1000 characters long")
  .transform((text) => createSecretKey(Buffer.from(text, "utf8")));

/** One, or a list: the new one and the one before, while senders change over. */
const secretsOf = (secret: z.ZodType<KeyObject, string>) =>
  z.preprocess(
    (value) => (typeof value === "string" ? [value] : value),
    z
      .array(secret, { error: "must be a secret, or a list of them" })
      .min(1, "must not be empty")
      .max(10, "at most 10 secrets"),
  );

const header = z
  .string()
  .regex(/^[\w!#$%&'*+.^`|~-]{1,100}$/, "must be the name of a header")
  .toLowerCase();

const template = storableText
  .trim()
  .min(1, "must not be empty")
  .max(maxTemplateChars, `at most ${maxTemplateChars} characters`)
  .transform((text, context): Template => {
    const parsed = parseTemplate(text);
    if (!("problem" in parsed)) return parsed;
    context.addIssue({ code: "custom", message: parsed.problem });
    return z.NEVER;
  });

const pathKey = z.string().refine((path) => parsePath(path) !== undefined, "must be a path such as pull_request.state");
const values = <Value extends z.ZodType>(value: Value) =>
  z.array(value, { error: "must be a list of values" }).min(1, "must not be empty");

const common = {
  tenant: storableText.min(1, "must not be empty").max(200, "at most 200 characters").default(defaultTenant),
  when: z
    .strictObject({
      headers: z.record(header, values(z.string())).default({}),
      fields: z
        .record(
          pathKey,
          values(
            z.custom<string | number | boolean>(
              (value) => ["string", "number", "boolean"].includes(typeof value),
              "must be a text, a number or a boolean",
            ),
          ),
        )
        .default({}),
    })
    .default({ headers: {}, fields: {} }),
  goal: template.optional(),
  session: template.optional(),
  ...settingsSchema.shape,
  labels: settingsSchema.shape.labels.refine(
    (labels) => Object.keys(labels ?? {}).length <= maxLabels,
    `at most ${maxLabels} entries`,
  ),
};

const sourceSchema = z.preprocess(
  (value) =>
    value !== null && typeof value === "object" && !Array.isArray(value) ? { scheme: "standard", ...value } : value,
  z.discriminatedUnion(
    "scheme",
    [
      z.strictObject({ scheme: z.literal("standard"), secret: secretsOf(standardSecret), ...common }),
      z.strictObject({
        scheme: z.literal("sha256"),
        secret: secretsOf(plainSecret),
        signature_header: header.default("x-hub-signature-256"),
        signature_prefix: z.string().max(100, "at most 100 characters").default("sha256="),
        delivery_header: header.nullable().default("x-github-delivery"),
        ...common,
      }),
    ],
    {
      error: (issue) =>
        issue.code === "invalid_union" ? 'the scheme must be "standard" or "sha256"' : "must be an object",
    },
  ),
);

const sourcesSchema = z
  .record(
    z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, "a source's name has up to 64 lower-case letters, digits, - and _"),
    sourceSchema,
    { error: 'must be an object such as {"github": {"secret": …}}' },
  )
  .refine((sources) => Object.keys(sources).length <= maxSources, `at most ${maxSources} sources`);

/** @returns the sources, or everything that is wrong with them. No value is repeated: it may be secret. */
export function parseWebhookSources(text: string): readonly WebhookSource[] | { readonly problems: WebhookProblem[] } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (thrown) {
    // Where, without the text around it, which the rest of the message repeats.
    const at = /at position (\d+)/.exec(thrown instanceof Error ? thrown.message : "")?.[1];
    const message = `is not valid JSON${at === undefined ? "" : `, from character ${at} on`}`;
    return { problems: [{ field: variable, message }] };
  }
  const parsed = sourcesSchema.safeParse(json);
  if (!parsed.success) return { problems: parsed.error.issues.flatMap(toProblems) };
  return Object.entries(parsed.data).map(([name, source]) => toSource(name, source));
}

function toSource(name: string, source: z.output<typeof sourceSchema>): WebhookSource {
  const { budget, planning, questions, priority, labels } = source;
  return {
    name,
    tenantId: source.tenant as TenantId,
    signing:
      source.scheme === "standard"
        ? { scheme: "standard", secrets: source.secret }
        : {
            scheme: "sha256",
            secrets: source.secret,
            signatureHeader: source.signature_header,
            signaturePrefix: source.signature_prefix,
            deliveryHeader: source.delivery_header,
          },
    when: {
      headers: Object.entries(source.when.headers).map(([of, allowed]) => ({ name: of, values: allowed })),
      fields: Object.entries(source.when.fields).map(([path, allowed]) => ({
        path: parsePath(path) ?? [],
        values: allowed,
      })),
    },
    goal: source.goal ?? null,
    session: source.session ?? null,
    settings: { budget, planning, questions, priority, labels },
  };
}

function toProblems(issue: z.core.$ZodIssue): WebhookProblem[] {
  const field = [variable, ...issue.path.map(String)].join(".");
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({ field: `${field}.${key}`, message: "is not a known field" }));
  if (issue.code === "invalid_key") return issue.issues.map((inner) => ({ field, message: inner.message }));
  // Of the request's own schemas; what is wrong with one of several forms would be told once for each of them.
  if (issue.code === "invalid_union" && issue.errors.length > 0)
    return [{ field, message: "has a form that it cannot have" }];
  return [{ field, message: issue.message }];
}
