export function withLock<Result>(
  path: string,
  onWait: (owner: unknown) => void,
  work: () => Promise<Result>,
): Promise<Result>;
