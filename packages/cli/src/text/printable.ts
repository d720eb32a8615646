/**
 * What models, files and servers wrote, made safe to print: a terminal obeys control characters, so each is shown as
 * its code instead. Everything that this package prints and did not write itself goes through here.
 */

/** C0 but for line feed, DEL, C1, and the marks that turn the direction of text around. */
const unsafe = /[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Several lines: line ends stay, tabs become spaces. */
export function printableBlock(text: string): string {
  return text.replaceAll("\r\n", "\n").replaceAll("\t", "    ").replaceAll(unsafe, codeOf);
}

/** One line: white space of any kind becomes a single space. */
export function printableLine(text: string): string {
  return text.trim().replaceAll(/\s+/g, " ").replaceAll(unsafe, codeOf);
}

/** JSON for a pipe or a terminal: what JSON leaves raw is escaped in JSON's own way. */
export function printableJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replaceAll(
    /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u${hex(char, 4)}`,
  );
}

function codeOf(char: string): string {
  return char.charCodeAt(0) < 0x100 ? `\\x${hex(char, 2)}` : `\\u${hex(char, 4)}`;
}

const hex = (char: string, digits: number) => char.charCodeAt(0).toString(16).padStart(digits, "0");
