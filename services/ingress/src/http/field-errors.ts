/** From what zod found to what a person can mend: each field with its limit in plain words. */
import type { FieldError } from "@outerloop/core";
import type { z } from "zod";
import { Refusal } from "./problem.ts";

type Issue = z.core.$ZodIssue;

/** More would bury the first ones. */
const maxErrors = 20;

export function toRefusal(error: z.core.$ZodError): Refusal {
  const fields = error.issues.flatMap((issue) => fieldErrors(issue, [])).slice(0, maxErrors);
  return new Refusal(
    "invalid_input",
    fields
      .slice(0, 3)
      .map(({ field, message }) => (field === "" ? message : `${field}: ${message}`))
      .join("; "),
    { fields },
  );
}

function fieldErrors(issue: Issue, base: readonly PropertyKey[]): FieldError[] {
  const path = [...base, ...issue.path];
  const field = fieldName(path);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => ({ field: fieldName([...path, key]), message: "is not a known field" }));
    case "invalid_key":
      return issue.issues.map((inner) => ({ field, message: `name ${describe(inner)}` }));
    case "invalid_union": {
      // The branch that was meant is the one with the fewest complaints.
      const [closest] = issue.errors.toSorted((a, b) => weight(a) - weight(b));
      return closest === undefined
        ? [{ field, message: "is not valid" }]
        : closest.flatMap((inner) => fieldErrors(inner, path));
    }
    case "invalid_type":
    case "invalid_value":
    case "invalid_format":
    case "invalid_element":
    case "not_multiple_of":
    case "too_big":
    case "too_small":
    case "custom":
      return [{ field: field === "" ? "body" : field, message: describe(issue) }];
  }
}

function weight(issues: readonly Issue[]): number {
  return issues.reduce(
    (sum, issue) =>
      sum +
      (issue.code === "unrecognized_keys" ? issue.keys.length : 1) +
      (issue.path.length === 0 && issue.code === "invalid_type" ? 10 : 0),
    0,
  );
}

function describe(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      if (issue.message.endsWith("received undefined")) return "is required";
      return `must be ${article(typeNames[issue.expected] ?? issue.expected)}`;
    case "too_big":
      return bound(issue.origin, "at most", issue.maximum);
    case "too_small":
      if (issue.origin === "string" && Number(issue.minimum) === 1) return "must not be empty";
      return bound(issue.origin, "at least", issue.minimum);
    case "invalid_value":
      return `must be one of ${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
    case "invalid_format":
      return issue.format === "regex" ? issue.message : `must be ${formatNames[issue.format] ?? article(issue.format)}`;
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_key":
    case "invalid_union":
    case "invalid_element":
    case "unrecognized_keys":
    case "custom":
      return issue.message;
  }
}

const typeNames: Readonly<Record<string, string>> = { int: "whole number", record: "object", array: "list" };
const formatNames: Readonly<Record<string, string>> = {
  base64: "base64 (RFC 4648, with padding)",
  url: "an http or https URL",
  datetime: "an instant such as 2026-01-31T12:00:00Z",
};

function bound(origin: string, word: string, limit: number | bigint): string {
  if (origin === "string") return `${word} ${limit} characters`;
  if (origin === "array" || origin === "set") return `${word} ${limit} entries`;
  return `must be ${word} ${limit}`;
}

const article = (noun: string) => `${/^[aeiou]/.test(noun) ? "an" : "a"} ${noun}`;

/** `budget.steps`, `attachments[2].path`. */
function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (name, part) =>
      typeof part === "number" ? `${name}[${part}]` : name === "" ? String(part) : `${name}.${String(part)}`,
    "",
  );
}
