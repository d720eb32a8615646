/** A small world outside, for tests: mails that reach nobody, and a web of a few pages (OUTERLOOP_SKILL_MODULES). */
import { z } from "zod";

const pages: Readonly<Record<string, { readonly title: string; readonly text: string }>> = {
  "https://github.com/asg017/sqlite-vec": {
    title: "sqlite-vec",
    text: "sqlite-vec 0.1.6: a vector search extension in pure C without dependencies. MIT or Apache-2.0. KNN by brute force.",
  },
  "https://alexgarcia.xyz/sqlite-vec/": {
    title: "sqlite-vec documentation",
    text: "vec0 virtual tables. 100,000 vectors of 1536 dimensions are searched in about 40 ms P99. Works from Go with cgo or WASM.",
  },
  "https://github.com/asg017/sqlite-vss": {
    title: "sqlite-vss",
    text: "sqlite-vss 0.1.2 is based on Faiss, about 3 MB of shared library. P99 250 ms at 100,000 vectors. No longer developed.",
  },
  "https://docs.turso.tech/features/ai-and-embeddings": {
    title: "libsql vector",
    text: "libSQL has vectors in its own fork of SQLite: F32_BLOB columns and a DiskANN index. Status: stable since 0.24.",
  },
  "https://github.com/tursodatabase/go-libsql": {
    title: "go-libsql",
    text: "go-libsql needs cgo and ships prebuilt libraries for Linux and macOS. No release is tagged.",
  },
};

export default {
  name: "world",
  description: "For tests.",
  tools: [
    {
      name: "send_mail",
      version: "1",
      description: "Send a mail.",
      effect: "external",
      timeoutMs: 10_000,
      deduplicates: true,
      input: z.object({ to: z.string(), text: z.string() }),
      run: async ({ to }: { readonly to: string }) => ({ ok: true, text: `Sent to ${to}.` }),
    },
    {
      name: "web_search",
      version: "1",
      description: "Search the web.",
      effect: "pure",
      timeoutMs: 10_000,
      input: z.object({ q: z.string() }),
      async run({ q }: { readonly q: string }) {
        const words = q.toLowerCase().split(/\W+/);
        const found = Object.entries(pages).filter(([url, { title, text }]) =>
          words.some((word) => word.length > 3 && `${url} ${title} ${text}`.toLowerCase().includes(word)),
        );
        return { ok: true, text: found.map(([url, { title }]) => `${title}: ${url}`).join("\n") || "Nothing found." };
      },
    },
    {
      name: "web_fetch",
      version: "1",
      description: "Fetch a page of the web as text.",
      effect: "pure",
      timeoutMs: 10_000,
      input: z.object({ url: z.string() }),
      async run({ url }: { readonly url: string }) {
        const page = pages[url];
        return page === undefined
          ? { ok: false, text: `${url} answered 404.` }
          : { ok: true, text: `${page.title}\n\n${page.text}` };
      },
    },
    {
      name: "long_list",
      version: "1",
      description: "Give a long list.",
      effect: "pure",
      timeoutMs: 10_000,
      input: z.object({ lines: z.int().min(1).max(100_000) }),
      run: async ({ lines }: { readonly lines: number }) => ({
        ok: true,
        text: Array.from({ length: lines }, (_, index) => `line ${index + 1} of the list`).join("\n"),
      }),
    },
    {
      name: "always_fails",
      version: "1",
      description: "Fails.",
      effect: "pure",
      timeoutMs: 10_000,
      input: z.object({ id: z.string() }),
      run: async () => ({ ok: false, text: "The service says: 503." }),
    },
  ],
};
