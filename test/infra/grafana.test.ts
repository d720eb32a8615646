/** The board as a file that Grafana can import. What its expressions ask for is held in prometheus-live.test.ts. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { board } from "../../infra/grafana/board.ts";
import { readBoard, readPages } from "./prometheus/files.ts";

const { panels, templating, uid, schemaVersion } = readBoard();
const shown = panels.filter((panel) => panel.type !== "row");

test("the committed file is what the code makes: node infra/grafana/board.ts, then npm run format", () => {
  const text = readFileSync(new URL("../../infra/grafana/outerloop.json", import.meta.url), "utf8");
  expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(board)));
});

test("it keeps its address, and asks for a data source instead of naming one", () => {
  expect({ uid, schemaVersion }).toEqual({ uid: "outerloop", schemaVersion: 42 });
  expect(templating.list.map(({ name, type }) => [name, type])).toContainEqual(["datasource", "datasource"]);
  const sources = shown.flatMap((panel) => [
    panel.datasource?.uid,
    ...(panel.targets ?? []).map((each) => each.datasource.uid),
  ]);
  expect(new Set(sources)).toEqual(new Set(["${datasource}"]));
});

test("every panel asks for something, has an id of its own and a place of its own", () => {
  expect(shown.filter(({ targets = [] }) => targets.length === 0)).toEqual([]);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const overlapping = panels.filter((one, index) =>
    panels.slice(index + 1).some(({ gridPos: b }) => {
      const a = one.gridPos;
      return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
    }),
  );
  expect(overlapping.map(({ title }) => title)).toEqual([]);
  expect(panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
});

test("its links lead to pages that there are", () => {
  const urls = [...board.links, ...shown.flatMap(({ links = [] }) => links)].map(({ url }) => url);
  const paths = urls.map((url) => url.replace(/^.*(?=docs\/runbooks\/)/, ""));
  expect(paths.length).toBeGreaterThan(10);
  expect(paths.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url)))).toEqual([]);
  expect(readPages().size).toBeGreaterThan(0);
});
