import { WriteStream } from "node:tty";
import { describe, expect, test } from "vitest";
import { printableBlock, printableJson, printableLine } from "./printable.ts";
import { formatBytes, formatDuration, formatUsd, parseDuration } from "./quantities.ts";
import { styleFor } from "./style.ts";
import { padEnd, truncate, widthOf } from "./width.ts";
import { wrapText } from "./wrap.ts";

const control = /[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;
const everyChar = Array.from({ length: 0x2100 }, (_, code) => String.fromCharCode(code)).join("");

describe("text from outside", () => {
  test("cannot command a terminal: escapes are shown, not obeyed", () => {
    expect(printableBlock("a\u001B[2Jb\u0007\u009B31m\u202Ec\rd")).toBe("a\\x1b[2Jb\\x07\\x9b31m\\u202ec\\x0dd");
    expect(printableBlock(everyChar)).not.toMatch(control);
    expect(printableLine(everyChar)).not.toMatch(control);
    expect(printableJson({ text: everyChar })).not.toMatch(control);
  });

  test("keeps its lines in a block and none in a line", () => {
    expect(printableBlock("a\r\n\tb\n")).toBe("a\n    b\n");
    expect(printableLine("  a\r\n\tb \n")).toBe("a b");
  });

  test("is the same value after JSON as before", () => {
    expect(JSON.parse(printableJson({ text: everyChar }))).toEqual({ text: everyChar });
  });
});

describe("wrapping", () => {
  test("never breaks a citation, even where it alone is too wide", () => {
    const citation = 'sqlite-vec/README.md:12 "pure C, no dependencies, runs anywhere"';
    const lines = wrapText(
      `It has no dependencies at all, as its documents say: ${citation}, and more follows here.`,
      60,
    );
    expect(lines.filter((line) => line.includes(citation))).toHaveLength(1);
    expect(lines.filter((line) => !line.includes(citation)).every((line) => widthOf(line) <= 60)).toBe(true);
  });

  test("keeps indentation, hangs list items, and leaves short lines as they are", () => {
    expect(wrapText("- one two three four five six\n\n  deep", 20, "  ")).toEqual([
      "  - one two three",
      "    four five six",
      "",
      "    deep",
    ]);
  });

  test("leaves no list mark alone, and keeps the spaces inside of a line", () => {
    const citation =
      'Readme.md:210 "The two most used option types are a boolean option, and an option which takes its value"';
    expect(wrapText(`  - ${citation}\n  12. one   two three four five six seven`, 30)).toEqual([
      `  - ${citation}`,
      "  12. one   two three four",
      "      five six seven",
    ]);
  });

  test("counts wide characters as two cells", () => {
    expect(wrapText("漢字漢字漢 漢字漢字漢 漢字", 22)).toEqual(["漢字漢字漢 漢字漢字漢", "漢字"]);
  });
});

describe("cells", () => {
  test("truncated text is never wider than asked, whatever it is made of", () => {
    for (const text of ["plain words here", "漢字漢字漢字漢字", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", "e\u0301".repeat(20)]) {
      for (let width = 0; width < 12; width += 1) expect(widthOf(truncate(text, width))).toBeLessThanOrEqual(width);
    }
    expect(truncate("plain words", 7)).toBe("plain…");
    expect(padEnd("漢", 4)).toBe("漢  ");
  });
});

describe("amounts", () => {
  test("of time read as people say them, and are read back", () => {
    expect(
      [12, 999, 6000, 6400, 59_400, 61_000, 3_600_000, 5_400_000, 90_000_000, 260_000_000].map(formatDuration),
    ).toEqual(["12 ms", "999 ms", "6 s", "6.4 s", "59 s", "1 min 1 s", "1 h", "1 h 30 min", "25 h", "3 d"]);
    expect(["90s", "15m", "1h30m", "2 d", "1.5h", "500ms", "10min"].map(parseDuration)).toEqual([
      90_000, 900_000, 5_400_000, 172_800_000, 5_400_000, 500, 600_000,
    ]);
    expect(["", "1", "h", "1x", "-1s", "1h foo"].map(parseDuration)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("of bytes and money keep what matters", () => {
    expect([0, 999, 1234, 212_000, 64 * 1024 * 1024].map(formatBytes)).toEqual([
      "0 B",
      "999 B",
      "1.2 kB",
      "212 kB",
      "67 MB",
    ]);
    expect([0, 0.0042, 1.5, null].map(formatUsd)).toEqual(["$0", "$0.004", "$1.50", "cost unknown"]);
  });
});

test("there is colour on a terminal only, and none where the terminal says so", () => {
  const withColours = { hasColors: () => true };
  expect(styleFor(withColours, true).good("x")).not.toBe("x");
  for (const style of [styleFor(withColours, false), styleFor({ hasColors: () => false }, true), styleFor({}, true)])
    expect(style.good("x")).toBe("x");
});

test.each([{ NO_COLOR: "1" }, { TERM: "dumb" }])("a terminal that Node opened has none with %j", (env) => {
  expect(WriteStream.prototype.getColorDepth.call({}, env)).toBe(1);
});
