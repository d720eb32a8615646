/**
 * Goals on the example corpus, two of a kind each: asked once, and later by somebody else in other words. The next pair in
 * the list is about something else, so that its lessons are those of an unrelated goal.
 */
export interface RecallPair {
  readonly name: string;
  readonly first: string;
  readonly second: string;
  /** Places that answer the second goal, by a person's reading; an answer that cites one of them counts as answered. */
  readonly answers: readonly string[];
}

export const recallPairs: readonly RecallPair[] = [
  {
    name: "single_binary_go",
    first: "Which engine suits a single-binary Go service, and why?",
    second: "Which vector engine should we use for a single-binary service written in Go?",
    answers: ["usearch/README.md:3", "usearch/README.md:359"],
  },
  {
    name: "dimensions",
    first: "How many dimensions can an indexed vector have in pgvector?",
    second: "What is the maximum number of dimensions for an index on vectors in pgvector?",
    answers: ["pgvector/README.md:260", "pgvector/README.md:378", "pgvector/README.md:834", "pgvector/README.md:836"],
  },
  {
    name: "memory_and_speed",
    first: "Which engine is best for memory usage and speed?",
    second: "Compare the engines by speed and memory footprint.",
    answers: ["hnswlib/wasm/README.md:129", "usearch/README.md:158"],
  },
  {
    name: "install",
    first: "How do I install usearch for Python?",
    second: "How can usearch be installed with pip for Python?",
    answers: ["usearch/README.md:98", "usearch/README.md:119"],
  },
  {
    name: "licences",
    first: "Which license do the engines have?",
    second: "Under which license is each engine published?",
    answers: ["hnswlib/README.md:71", "hnswlib/wasm/README.md:163"],
  },
  {
    name: "probes",
    first: "How many probes does an ivfflat query use by default in pgvector?",
    second: "What is the default number of probes for ivfflat in pgvector?",
    answers: ["pgvector/README.md:384"],
  },
  {
    name: "search_parameter",
    first: "How do I set the ef search parameter in hnswlib?",
    second: "Which parameter controls ef at search time in hnswlib?",
    answers: ["hnswlib/wasm/README.md:66", "hnswlib/wasm/README.md:67", "hnswlib/wasm/README.md:126"],
  },
  {
    name: "virtual_table",
    first: "How is a vec0 virtual table created in sqlite-vec?",
    second: "How do I create a virtual table with vec0 in sqlite-vec?",
    answers: ["sqlite-vec/README.md:32", "sqlite-vec/README.md:111", "sqlite-vec/README.md:125"],
  },
  {
    name: "distances",
    first: "Which distance functions are supported?",
    second: "What distance functions does each library support?",
    answers: ["pgvector/README.md:146"],
  },
  {
    name: "browser",
    first: "Can hnswlib be used in a browser through WebAssembly?",
    second: "Does hnswlib run in the browser as WebAssembly?",
    answers: ["hnswlib/wasm/README.md:3", "hnswlib/wasm/README.md:7"],
  },
];
