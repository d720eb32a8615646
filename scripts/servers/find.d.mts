export function findPostgres(): { readonly bin: string; readonly version: number } | undefined;
export function findRedis(): string | undefined;
