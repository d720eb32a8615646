/** Text in terminal cells: an ideograph takes two, a combining mark none. All functions take text without escapes. */
import stringWidth from "string-width";

export function widthOf(text: string): number {
  return stringWidth(text);
}

/** Cuts at the end, with `…` for what is gone. */
export function truncate(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width <= 0) return "";
  let kept = "";
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    used += widthOf(segment);
    if (used > width - 1) break;
    kept += segment;
  }
  return `${kept.trimEnd()}…`;
}

export function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}

const graphemes = new Intl.Segmenter();
