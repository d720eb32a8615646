/** Routes, what is held back, limits and spend, as a person reads them. */
import type { ModelsResource, ModelTestResource, TenantUsageResource } from "@outerloop/core/domain";
import { formatCount, formatDuration, formatUsd, plural } from "../text/quantities.ts";
import { printableLine } from "../text/printable.ts";
import type { Style } from "../text/style.ts";
import { padEnd } from "../text/width.ts";

export interface Spend {
  readonly day: TenantUsageResource;
  readonly month: TenantUsageResource;
}

const useWidth = 11;

export function modelLines({ views, held, used }: ModelsResource, spend: Spend, style: Style): string[] {
  if (views.length === 0) return ["No process that calls models has told its routes yet."];
  const stateOf = new Map(held.map((each) => [each.model, each]));
  const lines = views.flatMap((view, index) => {
    const who = `${plural(view.processes, "process", "processes")}: ${view.services.map(printableLine).join(", ")}`;
    const differs = views.length === 1 ? [] : [...(index === 0 ? [] : [""]), style.strong(who)];
    const routes = view.routes
      .filter((route) => route.models.length > 0)
      .flatMap((route) =>
        route.models.map((model, place) => {
          const state = stateOf.get(model.name);
          const mark = state === undefined ? style.good("●") : style.bad("○");
          const price =
            model.price === null
              ? "price unknown"
              : model.price.version === "free"
                ? "free"
                : `$${model.price.input} in, $${model.price.output} out a million tokens`;
          const label = place === 0 ? padEnd(route.use, useWidth) : padEnd("  else", useWidth);
          return `${style.strong(label)}${mark} ${printableLine(model.name)}  ${style.faint(price)}`;
        }),
      );
    return [...differs, ...routes];
  });
  return [
    ...lines,
    ...held.flatMap((each) => ["", ...heldLines(each, style)]),
    ...limitLines(views[0]!, used, style),
    "",
    ...spendLines(spend, style),
  ];
}

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
  const lines = limits.map((limit) => {
    const now = used.find((each) => each.target === limit.target);
    const of = (count: number | undefined, most: number | null, what: string) =>
      most === null ? [] : [`${formatCount(count ?? 0)} of ${formatCount(most)} ${what} in the last minute`];
    const parts = [
      ...of(now?.requests, limit.requests_per_minute, "requests"),
      ...of(now?.tokens, limit.tokens_per_minute, "tokens"),
      ...(limit.tenant.requests_per_minute === null
        ? []
        : [`${formatCount(limit.tenant.requests_per_minute)} requests a tenant`]),
      ...(limit.tenant.tokens_per_minute === null
        ? []
        : [`${formatCount(limit.tenant.tokens_per_minute)} tokens a tenant`]),
      ...(limit.concurrency === null ? [] : [`${plural(limit.concurrency, "call")} at once a process`]),
      ...(now === undefined || now.tenants_waiting === 0 ? [] : [`${plural(now.tenants_waiting, "tenant")} waiting`]),
    ];
    return `${style.strong(padEnd("limit", useWidth))}${printableLine(limit.target)}  ${parts.join(" · ")}`;
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
  const models = month.rows
    .filter((row) => row.usd > 0)
    .slice(0, 5)
    .map((row) =>
      style.faint(
        `${" ".repeat(useWidth)}${formatUsd(row.usd)}  ${printableLine(row.model)} ${printableLine(row.stage)}`,
      ),
    );
  return [line("today", day), line("month", month), ...models];
}

export function testLines(results: NonNullable<ModelTestResource["results"]>, style: Style): string[] {
  return results.map(({ name, uses, ok, ms, detail }) => {
    const mark = ok ? style.good("✓") : style.bad("✗");
    const head = `${mark} ${style.strong(printableLine(name))}  ${style.faint(`${uses.map(printableLine).join(", ")} · ${formatDuration(ms)}`)}`;
    return ok ? head : `${head}\n  ${printableLine(detail)}`;
  });
}
