/** API keys: kept as SHA-256 only, each with a tenant and a role. */
import { createHash, randomBytes } from "node:crypto";
import type { CreateId, KeyId, TenantId } from "../domain/ids.ts";
import type { Principal, Role } from "../domain/principal.ts";
import type { Db } from "./database.ts";

const hashKey = (key: string) => createHash("sha256").update(key).digest();

/** `ol_` and 192 random bits. */
export function generateKey(): string {
  return `ol_${randomBytes(24).toString("base64url")}`;
}

/** Makes sure that this very key exists and admits as an admin of the tenant. Safe to repeat. */
export async function ensureAdminKey(db: Db, tenantId: TenantId, key: string, createId: CreateId): Promise<void> {
  await db
    .insertInto("api_keys")
    .values({ id: createId("key"), tenant_id: tenantId, name: "first admin", role: "admin", hash: hashKey(key) })
    .onConflict((conflict) => conflict.column("hash").doNothing())
    .execute();
}

/** Who a key speaks for; undefined for an unknown or revoked one. Looked up by hash, so timing tells nothing of other keys. */
export async function findPrincipal(db: Db, key: string): Promise<Principal | undefined> {
  const row = await db
    .selectFrom("api_keys")
    .select(["id", "tenant_id", "role"])
    .where("hash", "=", hashKey(key))
    .where("revoked_at", "is", null)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return { kind: "key", tenantId: row.tenant_id as TenantId, keyId: row.id as KeyId, role: row.role as Role };
}
