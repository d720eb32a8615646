/** Colour where it is wanted. Rendering takes a `Style`, so the same lines serve a terminal, a pipe and a test. */
import { styleText } from "node:util";

export interface Style {
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly busy: (text: string) => string;
}

const same = (text: string) => text;
export const plainStyle: Style = { strong: same, faint: same, good: same, bad: same, busy: same };

const painted = (format: Parameters<typeof styleText>[0]) => (text: string) =>
  text === "" ? "" : styleText(format, text, { validateStream: false });
export const colourStyle: Style = {
  strong: painted("bold"),
  faint: painted("dim"),
  good: painted("green"),
  bad: painted("red"),
  busy: painted("cyan"),
};

/** What knows its own colours; a terminal that Node opened does, and NO_COLOR and TERM with it. */
export interface Colourable {
  hasColors?(): boolean;
}

export function styleFor(out: Colourable, isTty: boolean): Style {
  return isTty && out.hasColors?.() === true ? colourStyle : plainStyle;
}
