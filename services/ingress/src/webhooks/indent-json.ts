/**
 * Gives JSON lines, for people and for tools that read and cite by line. Works on the text, which is known to be valid: numbers
 * of any length, and fields that are there twice, stay as they were sent.
 */
export function indentJson(text: string, maxChars: number): string {
  const pieces: string[] = [];
  let size = 0;
  let depth = 0;
  let at = 0;
  const put = (piece: string) => {
    pieces.push(piece);
    size += piece.length;
  };
  const line = () => put(`\n${"  ".repeat(depth)}`);
  // Ends at the text's end: each round takes at least one character. Deep ones may get many times as long.
  while (at < text.length && size <= maxChars) {
    const char = text[at]!;
    const end = endOfToken(text, at);
    const token = text.slice(at, end);
    at = end;
    switch (char) {
      case "{":
      case "[": {
        const close = nextToken(text, at);
        if (text[close] === "}" || text[close] === "]") {
          put(`${char}${text[close]}`);
          at = close + 1;
          break;
        }
        put(char);
        depth += 1;
        line();
        break;
      }
      case "}":
      case "]":
        depth -= 1;
        line();
        put(char);
        break;
      case ",":
        put(char);
        line();
        break;
      case ":":
        put(": ");
        break;
      default:
        put(token.trim());
    }
  }
  return size > maxChars ? text : `${pieces.join("")}\n`;
}

function nextToken(text: string, from: number): number {
  let at = from;
  while (/\s/.test(text[at] ?? "")) at += 1;
  return at;
}

/** A string with its quotes, a run of anything else that has no structure, or one character of structure. */
function endOfToken(text: string, from: number): number {
  if (text[from] === '"') {
    let at = from + 1;
    while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    return at + 1;
  }
  if ("{}[],:".includes(text[from]!)) return from + 1;
  let at = from + 1;
  while (at < text.length && !'{}[],:"'.includes(text[at]!)) at += 1;
  return at;
}
