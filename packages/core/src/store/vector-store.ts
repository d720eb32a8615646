/** The port to vectors beside the task store: what was embedded before, and what is to be embedded again. */
import type { Db } from "./database.ts";
import { keepCachedVectors, pruneCachedVectors, readCachedVectors } from "./embedding-cache.ts";
import {
  claimOldEntries,
  countEntriesOf,
  listEmbeddedModels,
  registerEmbedder,
  releaseEntries,
  replaceVectors,
} from "./reembedding.ts";

const functions = {
  readCachedVectors,
  keepCachedVectors,
  pruneCachedVectors,
  listEmbeddedModels,
  registerEmbedder,
  claimOldEntries,
  replaceVectors,
  releaseEntries,
  countEntriesOf,
};

type Bound<Fn> = Fn extends (db: Db, ...args: infer Args) => infer Result ? (...args: Args) => Result : never;

export type VectorStore = { readonly [Name in keyof typeof functions]: Bound<(typeof functions)[Name]> };

export function createVectorStore(db: Db): VectorStore {
  const bind = (call: (db: Db, ...args: never[]) => unknown) => call.bind(null, db);
  return Object.fromEntries(
    Object.entries(functions).map(([name, call]) => [name, bind(call)]),
  ) as unknown as VectorStore;
}
