/** What is made of several measurements of the same thing. */

/** The value below which `share` of the values lie, by nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new Error("a percentile of nothing");
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** The middle value, or halfway between the two in the middle. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error("a median of nothing");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Enough digits to compare by, and no more. */
export function round(value: number): number {
  return Number(value.toPrecision(4));
}
