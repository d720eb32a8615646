/**
 * Prompts are made of tagged sections, `<goal id="…">…</goal>`. Tags keep what a person, a file or a page said apart
 * from what we ask, and let a long section be stored once by hash and sent many times. A body cannot close its own section
 * or open a fake one: tags of ours inside it are defused.
 */
export interface Section {
  readonly tag: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Every tag that our prompts use; in a body these are defused. */
export const sectionTags = [
  "goal",
  "intake",
  "clarification",
  "guard",
  "notice",
  "workspace",
  "tools",
  "session",
  "task",
  "dependency",
  "memory",
  "hint",
  "evidence",
  "result",
  "trace",
  "request",
] as const;
export type SectionTag = (typeof sectionTags)[number];

const ownTag = new RegExp(`<(\\s*/?)(?=\\s*(?:${sectionTags.join("|")})(?:[\\s/>]|$))`, "gi");
const sectionPattern = new RegExp(`<(${sectionTags.join("|")})((?: [a-z_]+="[^"]*")*)>\\n([\\s\\S]*?)\\n</\\1>`, "g");
const attributePattern = / ([a-z_]+)="([^"]*)"/g;

/** Renders one section. Attributes lose quotes and line ends; the body keeps its text but for our own tags, whose `<` becomes `‹`. */
export function section(tag: SectionTag, attributes: Readonly<Record<string, string | number>>, body: string): string {
  let open = `<${tag}`;
  for (const [name, value] of Object.entries(attributes))
    open += ` ${name}="${String(value).replace(/["\n\r<>]/g, " ")}"`;
  return `${open}>\n${body.replace(ownTag, "‹$1")}\n</${tag}>`;
}

/** Reads back the sections of a rendered prompt, in order. */
export function readSections(text: string): Section[] {
  const sections: Section[] = [];
  for (const [, tag = "", attributeText = "", body = ""] of text.matchAll(sectionPattern)) {
    const attributes: Record<string, string> = {};
    for (const [, name = "", value = ""] of attributeText.matchAll(attributePattern)) attributes[name] = value;
    sections.push({ tag, attributes, body });
  }
  return sections;
}
