/**
 * Whether a source signed a delivery. Checked over the bytes as they came, before anything reads them. The official library
 * `standardwebhooks` is not used for it: it signs text decoded from the bytes, not the bytes, knows one secret and one
 * tolerance, and takes `12abc` for a time; our tests sign with it.
 */
import { createHmac, randomBytes, createSecretKey, timingSafeEqual, type KeyObject } from "node:crypto";
import type { WebhookSigning } from "@outerloop/core";

/** For the operator's log; who sent it learns it of `stale` only, having shown that it knows the secret. */
export type BadSignature = "no_signature" | "bad_signature" | "stale";
export type Verified =
  /** `deliveryId` is null where the delivery has no name of its own. */
  { readonly kind: "signed"; readonly deliveryId: string | null } | { readonly kind: BadSignature };

export interface Clock {
  readonly nowMs: number;
  readonly toleranceMs: number;
}

export function verifySignature(signing: WebhookSigning, headers: Headers, body: Uint8Array, clock: Clock): Verified {
  switch (signing.scheme) {
    case "standard":
      return verifyStandard(signing.secrets, headers, body, clock);
    case "sha256":
      return verifySha256(signing, headers, body);
  }
}

/** What a source that there is not is checked against, so that it takes as long as one with a wrong secret. */
export function nobodysSigning(): WebhookSigning {
  return { scheme: "standard", secrets: [createSecretKey(randomBytes(32))] };
}

function verifyStandard(secrets: readonly KeyObject[], headers: Headers, body: Uint8Array, clock: Clock): Verified {
  const id = headers.get("webhook-id") ?? "";
  const timestamp = headers.get("webhook-timestamp") ?? "";
  // Of several signatures, also of other versions, one has to be right: a sender that rotates its secret signs with both.
  const given = (headers.get("webhook-signature") ?? "").split(" ").flatMap((each) => {
    const base64 = /^v1,([A-Za-z0-9+/]{43}=)$/.exec(each)?.[1];
    return base64 === undefined ? [] : [Buffer.from(base64, "base64")];
  });
  const isSigned = isOneOf(secrets, [Buffer.from(`${id}.${timestamp}.`, "utf8"), body], given);
  if (id === "" || timestamp === "" || given.length === 0) return { kind: "no_signature" };
  if (!isSigned || !/^\d{1,12}$/.test(timestamp)) return { kind: "bad_signature" };
  // In both directions, as the specification has it: a time to come would keep a delivery repeatable until then.
  if (Math.abs(clock.nowMs - Number(timestamp) * 1000) > clock.toleranceMs) return { kind: "stale" };
  return { kind: "signed", deliveryId: id };
}

function verifySha256(
  signing: Extract<WebhookSigning, { scheme: "sha256" }>,
  headers: Headers,
  body: Uint8Array,
): Verified {
  const value = headers.get(signing.signatureHeader) ?? "";
  const hex = value.startsWith(signing.signaturePrefix) ? value.slice(signing.signaturePrefix.length) : "";
  const given = /^[0-9a-f]{64}$/i.test(hex) ? [Buffer.from(hex, "hex")] : [];
  const isSigned = isOneOf(signing.secrets, [body], given);
  if (given.length === 0) return { kind: "no_signature" };
  if (!isSigned) return { kind: "bad_signature" };
  const deliveryId = signing.deliveryHeader === null ? null : headers.get(signing.deliveryHeader);
  return { kind: "signed", deliveryId: deliveryId === "" ? null : deliveryId };
}

/** Signs with every secret and compares with everything given, whatever is found first: time tells nothing of either. */
function isOneOf(secrets: readonly KeyObject[], content: readonly Uint8Array[], given: readonly Buffer[]): boolean {
  let found = false;
  for (const secret of secrets) {
    const hmac = createHmac("sha256", secret);
    for (const piece of content) hmac.update(piece);
    const expected = hmac.digest();
    for (const each of given) found = timingSafeEqual(expected, each) || found;
  }
  return found;
}
