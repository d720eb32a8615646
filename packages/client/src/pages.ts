/** Lists come in pages with a cursor; most readers want the items. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** null on the last page. */
  readonly next_cursor: string | null;
}

export async function* eachItem<Item>(load: (cursor: string | undefined) => Promise<Page<Item>>): AsyncGenerator<Item> {
  let cursor: string | undefined;
  // Ends: with the page that names no next one.
  do {
    const page = await load(cursor);
    yield* page.items;
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
}

export async function allItems<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}
