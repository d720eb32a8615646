import type { KeyId, TenantId } from "./ids.ts";

/** From least to most: a viewer reads, an operator posts and steers goals, an admin manages keys too. */
export const roles = ["viewer", "operator", "admin"] as const;
export type Role = (typeof roles)[number];

/** Who asks. Every call into the store names one; a worker acts for the tenant whose goal it moves, a webhook for its source's. */
export type Principal =
  | { readonly kind: "key"; readonly tenantId: TenantId; readonly keyId: KeyId; readonly role: Role }
  | { readonly kind: "webhook"; readonly tenantId: TenantId; readonly source: string }
  | { readonly kind: "worker"; readonly tenantId: TenantId };

export const defaultTenant = "default" as TenantId;

export function mayActAs(principal: Principal, role: Role): boolean {
  switch (principal.kind) {
    case "key":
      return roles.indexOf(principal.role) >= roles.indexOf(role);
    case "webhook":
      // It posts goals, which its own route lets it; nothing else is open to it.
      return false;
    case "worker":
      return true;
  }
}

/** As a goal's row names who posted it. */
export function nameOfPrincipal(principal: Principal): string {
  switch (principal.kind) {
    case "key":
      return principal.keyId;
    case "webhook":
      return `webhook:${principal.source}`;
    case "worker":
      return "worker";
  }
}
