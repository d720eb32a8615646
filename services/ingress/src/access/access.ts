/** Who asks, and whether they may: a bearer key, or the cookie that `/login` gave for one. Keys are never logged. */
import { defaultTenant, findPrincipal, mayActAs, type Db, type Principal, type Role } from "@outerloop/core";
import { Refusal } from "../http/problem.ts";
import { createPrincipalCache } from "./principal-cache.ts";
import { isSameOrigin } from "./same-origin.ts";
import { createSessionCookies, type SessionCookies } from "./session-cookie.ts";

export interface Access {
  readonly cookies: SessionCookies;
  /** @throws Refusal `unauthorized` without a key that admits, `forbidden` for one whose role is too small */
  require(request: Request, role: Role): Promise<Principal>;
  /** The same for what shows all tenants at once, as queues and metrics do: only keys of the tenant that runs this installation. */
  requireOperator(request: Request, role: Role): Promise<Principal>;
  /** Who a key speaks for. */
  find(key: string): Promise<Principal | undefined>;
}

const cacheLimits = { ttlMs: 5000, size: 1000 };
/** Ours have 35 characters, and OUTERLOOP_API_KEY may be anything reasonable. */
const maxKeyChars = 512;

export function createAccess(db: Db, sessionSecret: string | undefined, clock: () => number): Access {
  const cache = createPrincipalCache(cacheLimits, clock);
  const cookies = createSessionCookies(sessionSecret, clock);

  const find = async (key: string) => {
    if (key.length === 0 || key.length > maxKeyChars) return undefined;
    return cache.lookUp(key, (wanted) => findPrincipal(db, wanted));
  };

  async function identify(request: Request): Promise<Principal> {
    const header = request.headers.get("authorization");
    if (header !== null) {
      const key = /^Bearer +(\S+) *$/i.exec(header)?.[1];
      if (key === undefined) throw new Refusal("unauthorized", "The Authorization header must be: Bearer KEY");
      const principal = await find(key);
      if (principal === undefined) throw new Refusal("unauthorized", "This key is not known, or was revoked.");
      return principal;
    }
    const key = cookies.open(request);
    const principal = key === undefined ? undefined : await find(key);
    if (principal === undefined)
      throw new Refusal("unauthorized", "Send a key: Authorization: Bearer KEY. In a browser, sign in at /login.");
    if (!["GET", "HEAD"].includes(request.method) && !isSameOrigin(request))
      throw new Refusal(
        "forbidden",
        "A request that changes something must come from this site's own pages, or bring its key in the Authorization header.",
      );
    return principal;
  }

  async function require(request: Request, role: Role): Promise<Principal> {
    const principal = await identify(request);
    if (!mayActAs(principal, role))
      throw new Refusal(
        "forbidden",
        `This needs the role ${role}; the key is a ${principal.kind === "key" ? principal.role : principal.kind}.`,
      );
    return principal;
  }

  return {
    cookies,
    find,
    require,
    async requireOperator(request, role) {
      const principal = await require(request, role);
      if (principal.tenantId !== defaultTenant)
        throw new Refusal(
          "forbidden",
          `Queues and metrics show all tenants; only keys of the tenant "${defaultTenant}" may see them.`,
        );
      return principal;
    },
  };
}
