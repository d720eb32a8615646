/**
 * Rows of panels in the few fields that Grafana's classic model needs, written out by hand since its builder library is not stable
 * yet. The model: https://grafana.com/docs/grafana/latest/visualizations/dashboards/build-dashboards/view-dashboard-json-model/
 */

export const datasource = { type: "prometheus", uid: "${datasource}" };
const width = 24;

export interface Target {
  readonly expr: string;
  readonly legend: string;
}

interface PanelOptions {
  readonly title: string;
  readonly description: string;
  /** Grafana's name for it: `s`, `short`, `reqps`, `bytes`, `currencyUSD`. */
  readonly unit: string;
  readonly targets: readonly Target[];
  readonly kind?: "timeseries" | "stat";
  readonly stacked?: boolean;
  /** A line from which on it is bad: that of the alert. */
  readonly threshold?: number;
  /** The page of the alert that looks at the same. */
  readonly runbook?: string;
}

export interface Row {
  readonly title: string;
  /** In 24ths of the page and in Grafana's lines. */
  readonly panelWidth: number;
  readonly panelHeight: number;
  readonly panels: readonly PanelOptions[];
}

function toPanel(
  options: PanelOptions,
  place: { readonly id: number; readonly x: number; readonly y: number; readonly row: Row },
  runbooks: string,
): object {
  const { id, x, y, row } = place;
  const { title, description, unit, targets, kind = "timeseries", stacked = false, threshold, runbook } = options;
  const steps = [
    { color: "green", value: null },
    ...(threshold === undefined ? [] : [{ color: "red", value: threshold }]),
  ];
  const lines = {
    drawStyle: "line",
    fillOpacity: stacked ? 20 : 0,
    stacking: { mode: stacked ? "normal" : "none", group: "A" },
    thresholdsStyle: { mode: threshold === undefined ? "off" : "line" },
  };
  return {
    id,
    type: kind,
    title,
    description,
    links: runbook === undefined ? [] : [{ title: "What to do", url: `${runbooks}/${runbook}.md`, targetBlank: true }],
    datasource,
    gridPos: { x, y, w: row.panelWidth, h: row.panelHeight },
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        thresholds: { mode: "absolute", steps },
        ...(kind === "timeseries" && { custom: lines }),
      },
      overrides: [],
    },
    options:
      kind === "stat"
        ? { reduceOptions: { calcs: ["lastNotNull"] }, textMode: "value_and_name", colorMode: "value" }
        : {
            legend: { displayMode: "list", placement: "bottom", showLegend: true },
            tooltip: { mode: "multi", sort: "desc" },
          },
    targets: targets.map(({ expr, legend }, index) => ({
      refId: String.fromCodePoint("A".codePointAt(0)! + index),
      datasource,
      expr,
      legendFormat: legend,
    })),
  };
}

/**
 * Rows one below the other, each with its panels from left to right.
 * @param runbooks where the pages are that panels link to
 */
export function toPanels(all: readonly Row[], runbooks: string): readonly object[] {
  const panels: object[] = [];
  let y = 0;
  for (const row of all) {
    panels.push({
      id: panels.length + 1,
      type: "row",
      title: row.title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: width, h: 1 },
    });
    y += 1;
    const inLine = Math.floor(width / row.panelWidth);
    for (const [index, options] of row.panels.entries()) {
      const x = (index % inLine) * row.panelWidth;
      const place = { id: panels.length + 1, x, y: y + Math.floor(index / inLine) * row.panelHeight, row };
      panels.push(toPanel(options, place, runbooks));
    }
    y += Math.ceil(row.panels.length / inLine) * row.panelHeight;
  }
  return panels;
}
