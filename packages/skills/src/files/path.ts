/** Workspace paths: relative, `/` as separator. They name rows, not host files, but must also be safe to write to a disk. */
import { z } from "zod";

export const maxPathChars = 512;

export type CheckedPath = { readonly ok: true; readonly path: string } | { readonly ok: false; readonly why: string };

/** Takes `./` and doubled or trailing slashes away, and refuses what could mean another place. */
export function checkPath(raw: string): CheckedPath {
  if (raw.length > maxPathChars)
    return { ok: false, why: `a path has at most ${maxPathChars} characters, this one has ${raw.length}` };
  if (/[\0-\x1f\x7f]/.test(raw)) return { ok: false, why: "a path has no control characters" };
  if (raw.includes("\\")) return { ok: false, why: "a path is written with /, not with a backslash" };
  if (raw.startsWith("/") || /^[A-Za-z]:\//.test(raw))
    return { ok: false, why: "a path is relative to the workspace: no / or drive at its beginning" };
  const segments = raw.split("/").filter((segment) => segment !== "" && segment !== ".");
  if (segments.includes("..")) return { ok: false, why: "a path stays inside the workspace: no .." };
  if (segments.length === 0) return { ok: false, why: "a path names a file" };
  return { ok: true, path: segments.join("/") };
}

/** A path as a tool's argument, checked and normalised. */
export const pathSchema = z.string().transform((raw, issues) => {
  const checked = checkPath(raw);
  if (checked.ok) return checked.path;
  issues.addIssue({ code: "custom", message: checked.why });
  return z.NEVER;
});

/** A folder or the beginning of a path; `""`, `"."` and `"/"` mean everything. */
export const prefixSchema = z
  .string()
  .nullish()
  .transform((raw, issues) => {
    if (raw === null || raw === undefined || ["", ".", "./", "/"].includes(raw)) return "";
    const checked = checkPath(raw);
    if (checked.ok) return checked.path;
    issues.addIssue({ code: "custom", message: checked.why });
    return z.NEVER;
  });

/** Whether a path is the one named or lies in the folder named; a prefix may also end inside a name. */
export function isUnder(path: string, prefix: string): boolean {
  return path.startsWith(prefix);
}
