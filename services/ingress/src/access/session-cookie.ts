/**
 * A browser can't send a bearer header by itself, so `/login` gives it a cookie: the key and an end, sealed with
 * AES-256-GCM. Scripts can't read it, other sites can't send it, and whoever copies it has no key. No state is kept, so
 * any replica with the same secret opens it, and a revoked key ends its sessions.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { z } from "zod";

export interface SessionCookies {
  /** The value of `Set-Cookie`. */
  issue(key: string, secure: boolean): string;
  clear(secure: boolean): string;
  /** The key inside the request's cookie; undefined where there is none that we sealed and that is still good. */
  open(request: Request): string | undefined;
}

export const sessionMs = 12 * 3_600_000;
const name = "outerloop_session";
const ivBytes = 12;
const tagBytes = 16;
const content = z.object({ key: z.string(), until: z.number() });

export function createSessionCookies(secret: string | undefined, clock: () => number): SessionCookies {
  const sealKey =
    secret === undefined
      ? randomBytes(32)
      : Buffer.from(hkdfSync("sha256", secret, "", "outerloop session cookie", 32));

  const seal = (text: string): string => {
    const iv = randomBytes(ivBytes);
    const cipher = createCipheriv("aes-256-gcm", sealKey, iv);
    const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64url");
  };
  const unseal = (value: string): string | undefined => {
    const bytes = Buffer.from(value, "base64url");
    if (bytes.length <= ivBytes + tagBytes) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", sealKey, bytes.subarray(0, ivBytes), { authTagLength: tagBytes });
    decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(ivBytes + tagBytes)), decipher.final()]).toString("utf8");
    } catch {
      return undefined;
    }
  };
  const cookie = (value: string, seconds: number, secure: boolean) =>
    `${name}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure ? "; Secure" : ""}`;

  return {
    issue: (key, secure) => cookie(seal(JSON.stringify({ key, until: clock() + sessionMs })), sessionMs / 1000, secure),
    clear: (secure) => cookie("", 0, secure),
    open(request) {
      const value = new RegExp(`(?:^|;\\s*)${name}=([\\w-]+)`).exec(request.headers.get("cookie") ?? "")?.[1];
      const text = value === undefined ? undefined : unseal(value);
      if (text === undefined) return undefined;
      const session = content.parse(JSON.parse(text));
      return session.until > clock() ? session.key : undefined;
    },
  };
}
