/** Bytes as lines. Lines end at LF or CRLF, as everywhere that citations are checked. */

/** Bytes looked at for a NUL, which text does not hold: what git does. */
const sniffedBytes = 8000;

export function isBinary(bytes: Uint8Array): boolean {
  return bytes.subarray(0, sniffedBytes).includes(0);
}

const decoder = new TextDecoder("utf-8");

/** The lines of a file; the line end of the last one starts no further line. Empty for an empty file. */
export function linesOf(bytes: Uint8Array): string[] {
  const text = decoder.decode(bytes);
  if (text === "") return [];
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
