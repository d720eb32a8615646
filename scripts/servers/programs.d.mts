export interface Programs<Name extends string = string> {
  readonly title: string;
  readonly names: readonly Name[];
}
export const pgBouncer: Programs<"pgbouncer">;
export const prometheus: Programs<"promtool" | "prometheus">;
export const kubectl: Programs<"kubectl">;
export const dockerCompose: Programs<"docker-compose">;
export function howToInstall(programs: Programs): string;
export function findPrograms<Name extends string>(programs: Programs<Name>): Readonly<Record<Name, string>> | undefined;
export function ensurePrograms<Name extends string>(
  programs: Programs<Name>,
): Promise<Readonly<Record<Name, string>> | undefined>;
export function aloneWithApt<Result>(work: () => Promise<Result>): Promise<Result>;
