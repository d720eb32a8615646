/** Routes, what is held back, limits and spend, as a person reads them. */
import type { ModelsResource, ModelTestResource, TenantUsageResource } from "@outerloop/core/domain";
import { formatCount, formatDuration, formatUsd, plural } from "../text/quantities.ts";
import { printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { padEnd, widthOf } from "../text/width.ts";

export interface Spend {
  readonly day: TenantUsageResource;
  readonly month: TenantUsageResource;
}

const useWidth = 11;
/** Of what money goes into; `outerloop usage` shows all. */
const maxDearest = 5;
/** As a goal goes through them. */
const useOrder = ["intake", "plan", "execute", "hard", "reflect", "embed", "transcribe"];

export function modelLines({ views, held, used }: ModelsResource, spend: Spend, style: Style): string[] {
  const [view] = views;
  if (view === undefined) return ["No process that calls models has told its routes yet."];
  const away = new Set(held.map((each) => each.model));
  const lines = views.flatMap((each, index) => {
    const who = `${plural(each.processes, "process", "processes")}: ${each.services.map(printableLine).join(", ")}`;
    const differs = views.length === 1 ? [] : [...(index === 0 ? [] : [""]), style.strong(who)];
    return [...differs, ...routeLines(each.routes, away, style)];
  });
  return [
    ...lines,
    style.faint(`${" ".repeat(useWidth)}Prices are dollars a million tokens.`),
    ...(held.length === 0 ? [] : ["", ...held.flatMap((each) => heldLines(each, style))]),
    ...limitLines(view, used, style),
    "",
    ...spendLines(spend, style),
  ];
}

type Route = ModelsResource["views"][number]["routes"][number];

function routeLines(routes: readonly Route[], away: ReadonlySet<string>, style: Style): string[] {
  const ordered = routes.toSorted((a, b) => useOrder.indexOf(a.use) - useOrder.indexOf(b.use));
  const width = widest(routes.flatMap(({ models }) => models.map(({ name }) => printableLine(name))));
  return ordered.flatMap(({ use, models }) =>
    models.map(({ name, price }, place) => {
      const label = style.strong(padEnd(place === 0 ? printableLine(use) : "  else", useWidth));
      const mark = away.has(name) ? style.bad("○") : style.good("●");
      return `${label}${mark} ${padEnd(printableLine(name), width)}  ${style.faint(priceOf(price))}`;
    }),
  );
}

function priceOf(price: Route["models"][number]["price"]): string {
  if (price === null) return "price unknown";
  return price.version === "free" ? "free" : `$${price.input} in, $${price.output} out`;
}

const widest = (texts: readonly string[]) => Math.max(0, ...texts.map(widthOf));

function heldLines(
  { model, state, reason, left_ms, failed_probes }: ModelsResource["held"][number],
  style: Style,
): string[] {
  const when = formatDuration(left_ms);
  const what = {
    open: `is away; asked again in ${when}`,
    half_open: "is away; it is being asked again",
    cooling: `asked for no calls for ${when}`,
  }[state];
  const probes = failed_probes === 0 ? "" : ` (${plural(failed_probes, "probe")} failed)`;
  return [`${style.bad("○")} ${printableLine(model)} ${what}${probes}`, style.faint(`  ${printableLine(reason)}`)];
}

function limitLines({ limits }: ModelsResource["views"][number], used: ModelsResource["used"], style: Style): string[] {
  const width = widest(limits.map(({ target }) => printableLine(target)));
  const lines = limits.map((limit) => {
    const now = used.find((each) => each.target === limit.target);
    const of = (count: number | undefined, most: number | null, what: string) =>
      most === null ? [] : [`${formatCount(count ?? 0)} of ${formatCount(most)} ${what}`];
    const most = (count: number | null, what: string) => (count === null ? [] : [`${formatCount(count)} ${what}`]);
    const taken = [
      ...of(now?.requests, limit.requests_per_minute, "requests"),
      ...of(now?.tokens, limit.tokens_per_minute, "tokens"),
    ];
    const tenant = [
      ...most(limit.tenant.requests_per_minute, "requests"),
      ...most(limit.tenant.tokens_per_minute, "tokens"),
    ];
    const parts = [
      ...(taken.length === 0 ? [] : [`${taken.join(" and ")} in the last minute`]),
      ...(tenant.length === 0 ? [] : [`a tenant ${tenant.join(" and ")} a minute`]),
      ...(limit.concurrency === null ? [] : [`${plural(limit.concurrency, "call")} at once a process`]),
      ...(now === undefined || now.tenants_waiting === 0 ? [] : [`${plural(now.tenants_waiting, "tenant")} waiting`]),
    ];
    const target = padEnd(printableLine(limit.target), width);
    return `${style.strong(padEnd("limit", useWidth))}${target}  ${parts.join(" · ")}`;
  });
  return lines.length === 0 ? [] : ["", ...lines];
}

function spendLines({ day, month }: Spend, style: Style): string[] {
  const line = (label: string, { total }: TenantUsageResource) => {
    const unpriced =
      total.unpriced_calls === 0 ? "" : `, without ${plural(total.unpriced_calls, "call")} of unknown price`;
    const tokens = formatCount(total.input_tokens + total.output_tokens);
    return `${style.strong(padEnd(label, useWidth))}${formatUsd(total.usd)}${unpriced} · ${plural(total.calls, "call")} · ${tokens} tokens`;
  };
  const dearest = month.rows.filter((row) => row.usd > 0).slice(0, maxDearest);
  const width = widest(dearest.map(({ usd }) => formatUsd(usd)));
  const models = dearest.map(({ usd, model, stage }) =>
    style.faint(
      `${" ".repeat(useWidth)}${padEnd(formatUsd(usd), width)}  ${printableLine(model)} ${printableLine(stage)}`,
    ),
  );
  return [line("today", day), line("month", month), ...models];
}

export function testLines(results: NonNullable<ModelTestResource["results"]>, style: Style): string[] {
  const width = widest(results.map(({ name }) => printableLine(name)));
  return results.flatMap(({ name, uses, ok, ms, detail }) => {
    const mark = ok ? style.good("✓") : style.bad("✗");
    const said = printableLine(detail);
    const parts = [
      formatDuration(ms),
      uses.map(printableLine).join(", "),
      ...(ok && said !== "" ? [`it said: ${said}`] : []),
    ];
    const head = `${mark} ${style.strong(padEnd(printableLine(name), width))}  ${style.faint(parts.join(" · "))}`;
    return ok ? [head] : [head, `  ${said}`];
  });
}
