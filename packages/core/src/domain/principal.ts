import type { KeyId, TenantId } from "./ids.ts";

/** From least to most: a viewer reads, an operator posts and steers goals, an admin manages keys too. */
export const roles = ["viewer", "operator", "admin"] as const;
export type Role = (typeof roles)[number];

/** Who asks. Every call into the store names one; a worker acts for the tenant whose goal it moves. */
export type Principal =
  | { readonly kind: "key"; readonly tenantId: TenantId; readonly keyId: KeyId; readonly role: Role }
  | { readonly kind: "worker"; readonly tenantId: TenantId };

export const defaultTenant = "default" as TenantId;

export function mayActAs(principal: Principal, role: Role): boolean {
  if (principal.kind === "worker") return true;
  return roles.indexOf(principal.role) >= roles.indexOf(role);
}
