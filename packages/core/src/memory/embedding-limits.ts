/** What may be kept of embeddings, and how memories are brought to another model. */
export interface EmbeddingLimits {
  /** Vectors that this process keeps at hand; 0 for none. */
  readonly cacheVectors: number;
  /** Rows of the cache in the database, all tenants together; 0 for no such cache. */
  readonly cacheRows: number;
  /** Rows that were not used for this long are deleted. */
  readonly cacheAgeMs: number;
  /** Memories that are embedded again in one request; 0 leaves those of another model as they are. */
  readonly reembedBatch: number;
}

export const defaultEmbeddingLimits: EmbeddingLimits = {
  cacheVectors: 1000,
  cacheRows: 100_000,
  cacheAgeMs: 30 * 24 * 3_600_000,
  reembedBatch: 64,
};
