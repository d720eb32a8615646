/** What was left out of an attachment and why: nothing disappears silently. */
import { printableLine } from "../text/printable.ts";
import { plural } from "../text/quantities.ts";

export type SkipReason = "image" | "binary" | "secret" | "ignored" | "link" | "special" | "name" | "unreadable";

export interface Skipped {
  readonly path: string;
  readonly reason: SkipReason;
  /** For `unreadable`: the system's code. */
  readonly detail?: string;
}

const nouns: Readonly<Record<Exclude<SkipReason, "unreadable">, (count: number) => string>> = {
  image: (count) => plural(count, "image"),
  binary: (count) => plural(count, "binary file"),
  secret: (count) => `${plural(count, "file")} of secrets by name`,
  ignored: (count) => `${count} ignored`,
  link: (count) => plural(count, "link that leads elsewhere", "links that lead elsewhere"),
  special: (count) => `${count} that ${count === 1 ? "is" : "are"} no file`,
  name: (count) => plural(count, "name that cannot be kept", "names that cannot be kept"),
};
/** More are counted. */
const maxNamed = 5;

/** `1 image, 2 ignored, unreadable: a.txt (EACCES)`; empty where nothing was. */
export function describeSkipped(skipped: readonly Skipped[]): string {
  const parts = (Object.keys(nouns) as (keyof typeof nouns)[]).flatMap((reason) => {
    const count = skipped.filter((each) => each.reason === reason).length;
    return count === 0 ? [] : [nouns[reason](count)];
  });
  const unreadable = skipped.filter((each) => each.reason === "unreadable");
  if (unreadable.length > 0) {
    const named = unreadable.slice(0, maxNamed).map((each) => printableLine(`${each.path} (${each.detail ?? "?"})`));
    parts.push(
      `unreadable: ${[...named, ...(unreadable.length > maxNamed ? [`${unreadable.length - maxNamed} more`] : [])].join(", ")}`,
    );
  }
  return parts.join(", ");
}
