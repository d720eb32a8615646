/**
 * The shape of a text: which lines make a paragraph, and under which heading each line stands. Good guesses for
 * Markdown, reStructuredText, manual pages, plain text and CSV; a wrong guess only costs some rank.
 */
export interface Outline {
  /** Per line the number of its block: a paragraph, a list item with its continuation, a heading. Blank lines have one of their own. */
  readonly blocks: Uint32Array;
  /** Per line the index of the heading above it, -1 for none; a heading names its parent. */
  readonly headings: Int32Array;
}

/** Longest line that can be a heading. */
const maxHeadingChars = 120;

const atxHeading = /^ {0,3}(#{1,6})\s+\S/;
const underline = /^([=\-~^"*+#])\1{2,}\s*$/;
const capitals = /^[A-Z][A-Z\d /,&()'-]{2,60}$/;
const listItem = /^\s*(?:[-*+•]|\d{1,3}[.)])\s+/;
/** Manual page sources: section headings, and requests that begin a paragraph or a list entry. */
const roffHeading = /^\.(?:SH|Sh|SS|Ss)\s+\S/;
const roffBreak = /^\.(?:TP|PP|P|LP|Pp|IP|It|HP|RS|RE|Bl|El|nf|fi|sp)\b/;
const fence = /^\s*(?:```|~~~)/;
const tableRow = /^\s*\|.*\|\s*$|\S \| \S/;
/** `Name:` or `**Name**` alone on a line: what many plain READMEs use. */
const labelled = /^(?:\*\*[^*]+\*\*:?|[A-Z][\w ()/'-]{2,50}:)\s*$/;

export function outlineOf(path: string, lines: readonly string[]): Outline {
  const blocks = new Uint32Array(lines.length);
  const headings = new Int32Array(lines.length).fill(-1);
  if (/\.(csv|tsv)$/i.test(path)) return tableOutline(blocks, headings);

  const open: { line: number; level: number }[] = [];
  const isCode = codeFile.test(path);
  let block = 0;
  let fenced = false;
  let wasHeading = false;
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at]!;
    const isFence = fence.test(line);
    if (isFence) fenced = !fenced;
    const level = fenced || isCode ? 0 : headingLevel(lines, at);
    const isBreak =
      line.trim() === "" ||
      isFence ||
      level > 0 ||
      wasHeading ||
      (!fenced && (listItem.test(line) || tableRow.test(line) || roffBreak.test(line)));
    if (isBreak) block += 1;
    blocks[at] = block;
    if (level > 0) {
      while (open.length > 0 && open.at(-1)!.level >= level) open.pop();
      headings[at] = open.at(-1)?.line ?? -1;
      open.push({ line: at, level });
    } else headings[at] = open.at(-1)?.line ?? -1;
    wasHeading = level > 0 || isFence || line.trim() === "";
  }
  return { blocks, headings };
}

export const codeFile =
  /\.(?:[cm]?[jt]sx?|py|rb|go|rs|c|h|cc|cpp|hpp|java|kt|cs|php|sh|bash|pl|lua|swift|sql|json|ya?ml|toml|ini|cfg|conf|xml|html?|css)$/i;

/** 0 for a line that is no heading; deeper headings have larger numbers. */
export function headingLevel(lines: readonly string[], at: number): number {
  const line = lines[at]!;
  if (line.length > maxHeadingChars || line.trim() === "") return 0;
  const atx = atxHeading.exec(line);
  if (atx) return atx[1]!.length;
  const next = lines[at + 1];
  if (next !== undefined && /[\p{L}\p{N}]/u.test(line) && !listItem.test(line) && (lines[at - 1] ?? "").trim() === "") {
    const drawn = underline.exec(next);
    if (drawn && next.trim().length >= Math.min(line.trim().length, 3))
      return '=#*-~^+"'.indexOf(drawn[1]!) < 3 ? 1 : 2;
  }
  if (roffHeading.test(line)) return /^\.s[hH]/i.test(line) ? 1 : 2;
  if (capitals.test(line)) return 2;
  if (labelled.test(line) && (lines[at - 1] ?? "").trim() === "") return 6;
  return 0;
}

/** Every row is a block, and the first row is the heading of all others. */
function tableOutline(blocks: Uint32Array, headings: Int32Array): Outline {
  for (let at = 0; at < blocks.length; at += 1) {
    blocks[at] = at;
    headings[at] = at === 0 ? -1 : 0;
  }
  return { blocks, headings };
}
