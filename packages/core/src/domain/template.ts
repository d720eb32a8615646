/**
 * Texts with places, `{{path.to.field}}`, that are filled from JSON which somebody outside sent. The text around the places
 * is an operator's and is trusted; a value is not. So a value (T1) is one line without control characters or invisible ones,
 * (T2) has a bounded length, and (T3) stands between marks that it cannot hold itself, so that it cannot end before its end.
 */

export type TemplatePart = { readonly text: string } | { readonly path: readonly string[] };
export type Template = readonly TemplatePart[];

export interface Filled {
  readonly text: string;
  /** Paths at which there was nothing, or null. */
  readonly missing: readonly string[];
  /** Paths whose values are longer than what stands in the text. */
  readonly clipped: readonly string[];
}

/** Around each value. Rare enough that no text loses anything where a value's own are replaced. */
export const valueMarks = { open: "⟦", close: "⟧" } as const;
/** Of one value: a title or a sentence. What is longer is read from the file. */
export const maxValueChars = 500;
/** With the limit above: what a payload adds to a text stays below a goal's 100,000 characters. */
const maxPlaces = 50;
const maxPathChars = 200;
/** Of one value in a name such as a session's. */
const maxNameValueChars = 100;

/** @returns the parts, or what is wrong with the text, to be said after the name of its field */
export function parseTemplate(text: string): Template | { readonly problem: string } {
  const parts: TemplatePart[] = [];
  let places = 0;
  for (const [index, piece] of text.split(/\{\{(.*?)\}\}/s).entries()) {
    if (index % 2 === 0) {
      if (piece.includes("{{")) return { problem: "has a {{ without its }}" };
      if (piece !== "") parts.push({ text: piece });
      continue;
    }
    const path = parsePath(piece.trim());
    if (path === undefined)
      return { problem: `has a place {{${piece.slice(0, 50)}}} that is no path such as {{pull_request.title}}` };
    places += 1;
    if (places > maxPlaces) return { problem: `has more than ${maxPlaces} places` };
    parts.push({ path });
  }
  return parts;
}

/** `a.b.0` to its parts: names of fields, and numbers for entries of lists. undefined for what is no path. */
export function parsePath(text: string): readonly string[] | undefined {
  if (text.length > maxPathChars) return undefined;
  const path = text.split(".");
  return path.every((name) => /^[^\s{}]+$/.test(name)) ? path : undefined;
}

/** What the JSON itself holds there, never what its prototypes do; undefined for nothing. */
export function valueAt(json: unknown, path: readonly string[]): unknown {
  let value = json;
  for (const name of path) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** Fills a text that a model reads. An object or a list becomes its JSON, clipped like any value. */
export function fillTemplate(template: Template, json: unknown): Filled {
  const missing = new Set<string>();
  const clipped = new Set<string>();
  const pieces = template.map((part) => {
    if ("text" in part) return part.text;
    const value = valueAt(json, part.path);
    if (value === undefined || value === null) missing.add(part.path.join("."));
    const line = toLine(value);
    const short = clip(line, maxValueChars);
    if (short !== line) clipped.add(part.path.join("."));
    return `${valueMarks.open}${short}${short === line ? "" : "…"}${valueMarks.close}`;
  });
  return { text: pieces.join(""), missing: [...missing], clipped: [...clipped] };
}

/**
 * Fills a name that groups what belongs together. undefined where a value is missing, is no text, number or boolean, or is too
 * long: half a name would group what does not belong together.
 */
export function fillName(template: Template, json: unknown): string | undefined {
  let name = "";
  for (const part of template) {
    if ("text" in part) {
      name += part.text;
      continue;
    }
    const value = valueAt(json, part.path);
    if (typeof value === "object") return undefined;
    const line = toLine(value);
    if (line === "" || line.length > maxNameValueChars) return undefined;
    name += line;
  }
  return name;
}

function toLine(value: unknown): string {
  if (value === undefined || value === null) return "";
  return (typeof value === "string" ? value : JSON.stringify(value))
    .toWellFormed()
    .replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ")
    .replaceAll(invisible, "")
    .replaceAll(valueMarks.open, "[")
    .replaceAll(valueMarks.close, "]")
    .trim();
}

/** What turns the direction of writing round, and tags that people do not see and models read. Joiners stay: scripts need them. */
const invisible = /[\u200B\u200E\u200F\u202A-\u202E\u2060-\u2069\uFEFF]|[\u{E0000}-\u{E007F}]/gu;

function clip(text: string, maxChars: number): string {
  // A cut between the halves of a character leaves the first half.
  return text.length <= maxChars ? text : text.slice(0, maxChars).replace(/[\uD800-\uDBFF]$/, "");
}
