/** Wraps words to a width. A citation is never broken, so that it can be copied and searched for. */
import { widthOf } from "./width.ts";

/** `path:line "quoted words"`, together one word, or any other run without spaces; each with the spaces before it. */
const words =
  /(\s*)((?:`[^`\n]+:\d{1,7}`|[^\s"“”`()[\]<>]+:\d{1,7})[)\]]?\s*[,:–—-]?\s*(?:"[^"\n]{1,600}"|“[^”\n]{1,600}”)\S*|\S+)/g;
/** A list item's mark, which is never left alone at the end of a line. */
const mark = /^\s*(?:[-*•]|\d{1,3}[.)])\s+/;

/**
 * Lines that a line becomes keep its indentation, and stand below a list item's text.
 * @param indent stands before every line and counts into `width`
 */
export function wrapText(text: string, width: number, indent = ""): string[] {
  return text.split("\n").flatMap((line) => wrapLine(line, Math.max(width, 20), indent));
}

/** Wraps what is said under a label; further lines stand below the text, not below the label. */
export function wrapLabelled(label: string, text: string, width: number): string[] {
  const indent = " ".repeat(widthOf(label));
  const [first = "", ...rest] = wrapText(text, width, indent);
  return [label + first.slice(indent.length), ...rest];
}

function wrapLine(line: string, width: number, indent: string): string[] {
  if (widthOf(indent + line) <= width) return [(indent + line).trimEnd()];
  const head = indent + (mark.exec(line)?.[0] ?? /^\s*/.exec(line)?.[0] ?? "");
  const hanging = " ".repeat(widthOf(head));
  const lines: string[] = [];
  let current = head;
  let isEmpty = true;
  for (const [, space = "", word = ""] of line.slice(head.length - indent.length).matchAll(words)) {
    if (!isEmpty && widthOf(current + space + word) > width) {
      lines.push(current);
      current = hanging;
      isEmpty = true;
    }
    current += isEmpty ? word : space + word;
    isEmpty = false;
  }
  return [...lines, current];
}
