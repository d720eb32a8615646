/** Types that a browser may show: they hold no script. All others are downloads. */
const text = "text/plain; charset=utf-8";
const types: Readonly<Record<string, string>> = {
  md: "text/markdown; charset=utf-8",
  markdown: "text/markdown; charset=utf-8",
  csv: "text/csv; charset=utf-8",
  json: "application/json",
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
};
/** Shown as text, whatever they are: with `nosniff` none of them runs. */
const textExtensions = new Set(
  "txt text log rst adoc tsv yaml yml toml ini conf jsonl ndjson diff patch sh bash py rb go rs c h cc cpp hpp cs java kt swift js mjs cjs ts mts cts jsx tsx css sql lua pl php tex".split(
    " ",
  ),
);

/** undefined: to be downloaded. */
export function contentTypeOf(path: string): string | undefined {
  const extension = /\.([a-z0-9]+)$/i.exec(path)?.[1]?.toLowerCase();
  if (extension === undefined) return undefined;
  return Object.hasOwn(types, extension) ? types[extension] : textExtensions.has(extension) ? text : undefined;
}
