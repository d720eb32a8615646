/** Amounts as people read them, and as they type them. */

export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return ms < 9950 ? `${trim(ms / 1000)} s` : `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return joined(`${minutes} min`, seconds % 60, "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return joined(`${hours} h`, minutes % 60, "min");
  return joined(`${Math.floor(hours / 24)} d`, hours % 24, "h");
}

/** Decimal units, as file managers count. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_500) return `${bytes < 9950 ? trim(bytes / 1000) : Math.round(bytes / 1000)} kB`;
  return `${bytes < 9_950_000 ? trim(bytes / 1e6) : Math.round(bytes / 1e6)} MB`;
}

/** @param usd null where the price of a call is not known */
export function formatUsd(usd: number | null): string {
  if (usd === null) return "cost unknown";
  if (usd === 0) return "$0";
  return usd < 0.01 ? `$${usd.toPrecision(1)}` : `$${usd.toFixed(2)}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** `1 file`, `2 files`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `90s`, `15m`, `1h30m`, `2 d`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const compact = text.replaceAll(/\s+/g, "").toLowerCase();
  if (!/^(?:\d+(?:\.\d+)?(?:ms|min|[smhd]))+$/.test(compact)) return undefined;
  let total = 0;
  for (const [, amount, unit] of compact.matchAll(/(\d+(?:\.\d+)?)(ms|min|[smhd])/g))
    total += Number(amount) * (unitMs[unit ?? ""] ?? Number.NaN);
  return Math.round(total);
}

const trim = (value: number) => value.toFixed(1).replace(/\.0$/, "");
const joined = (whole: string, rest: number, unit: string) => (rest === 0 ? whole : `${whole} ${rest} ${unit}`);
