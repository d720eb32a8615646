/** One look for all who ask at once and shortly after: however many ask, what is looked at is asked once in that time. */
export function shareLook<Found>(
  forMs: number,
  look: () => Promise<Found>,
  now: () => number = () => performance.now(),
): () => Promise<Found> {
  let last: { readonly at: number; readonly found: Promise<Found> } | undefined;
  let isOpen = false;
  return () => {
    if (last !== undefined && (isOpen || now() - last.at < forMs)) return last.found;
    isOpen = true;
    last = { at: now(), found: look().finally(() => (isOpen = false)) };
    return last.found;
  };
}
