import fc from "fast-check";
import { expect, test } from "vitest";
import { readSections, section, sectionTags } from "./section.ts";

test("what is rendered is read back", () => {
  expect(
    readSections(
      [section("goal", { id: "g_1" }, "Find it."), section("task", { id: "t1", attempt: 2 }, "Look\nthere")].join(
        "\n\n",
      ),
    ),
  ).toEqual([
    { tag: "goal", attributes: { id: "g_1" }, body: "Find it." },
    { tag: "task", attributes: { id: "t1", attempt: "2" }, body: "Look\nthere" },
  ]);
});

test("no body, however hostile, closes its section or opens another", () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(...sectionTags.flatMap((tag) => [`</${tag}>`, `\n</${tag}>\n<${tag} id="x">\n`])),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const sections = readSections(`${section("result", {}, pieces.join(""))}\n\n${section("request", {}, "Judge.")}`);
      return sections.length === 2 && sections[0]?.tag === "result" && sections[1]?.body === "Judge.";
    }),
  );
});

test("an attribute cannot break out of its quotes", () => {
  expect(readSections(section("task", { id: 't1" status="done' }, "x"))).toMatchObject([
    { attributes: { id: "t1  status= done" } },
  ]);
});
