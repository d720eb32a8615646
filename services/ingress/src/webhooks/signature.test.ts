import { createHmac, createSecretKey } from "node:crypto";
import type { WebhookSigning } from "@outerloop/core";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { nobodysSigning, verifySignature } from "./signature.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const clock = { nowMs: 1_700_000_000_000, toleranceMs: 300_000 };

describe("sha256", () => {
  // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
  const body = bytes("Hello, World!");
  const hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  const signing: WebhookSigning = {
    scheme: "sha256",
    secrets: [createSecretKey(Buffer.from("It's a Secret to Everybody"))],
    signatureHeader: "x-hub-signature-256",
    signaturePrefix: "sha256=",
    deliveryHeader: "x-github-delivery",
  };
  const verify = (headers: Record<string, string>, changed: Partial<typeof signing> = {}, content = body) =>
    verifySignature({ ...signing, ...changed } as WebhookSigning, new Headers(headers), content, clock);
  const signed = { "x-hub-signature-256": `sha256=${hex}` };

  test("GitHub's own example holds, with the delivery's id where it has one", () => {
    expect(verify(signed)).toEqual({ kind: "signed", deliveryId: null });
    expect(verify({ ...signed, "x-github-delivery": "d1" })).toEqual({ kind: "signed", deliveryId: "d1" });
    expect(verify({ ...signed, "x-github-delivery": "d1" }, { deliveryHeader: null })).toMatchObject({
      deliveryId: null,
    });
    expect(verify({ "x-hub-signature-256": `sha256=${hex.toUpperCase()}` }).kind).toBe("signed");
  });

  test.each([
    ["no header", {}, "no_signature"],
    ["an empty one", { "x-hub-signature-256": "" }, "no_signature"],
    ["no prefix", { "x-hub-signature-256": hex }, "no_signature"],
    ["half of it", { "x-hub-signature-256": `sha256=${hex.slice(0, 32)}` }, "no_signature"],
    ["more of it", { "x-hub-signature-256": `sha256=${hex}00` }, "no_signature"],
    ["two of them", { "x-hub-signature-256": `sha256=${hex}, sha256=${hex}` }, "no_signature"],
    ["SHA-1 in its place", { "x-hub-signature": `sha1=${hex.slice(0, 40)}` }, "no_signature"],
    ["another digit", { "x-hub-signature-256": `sha256=${hex.slice(0, -1)}8` }, "bad_signature"],
  ])("%s does not", (_title, headers, kind) => {
    expect(verify(headers as Record<string, string>)).toEqual({ kind });
  });

  test("a body that is a byte longer does not", () => {
    expect(verify(signed, {}, bytes("Hello, World!\n"))).toEqual({ kind: "bad_signature" });
  });

  test("another header and no prefix may be what a sender has", () => {
    expect(verify({ "x-signature": hex }, { signatureHeader: "x-signature", signaturePrefix: "" }).kind).toBe("signed");
  });

  test("what is signed is the bytes, whether they are text or not", () => {
    const odd = new Uint8Array([0xff, 0xfe, 0x00, 0x7b]);
    const digest = createHmac("sha256", "It's a Secret to Everybody").update(odd).digest("hex");
    const header = { "x-hub-signature-256": `sha256=${digest}` };
    expect(verify(header, {}, odd).kind).toBe("signed");
    expect(verify(header, {}, bytes("\ufffd\ufffd\0{")).kind).toBe("bad_signature");
  });
});

describe("standard", () => {
  // https://github.com/standard-webhooks/standard-webhooks: the vector of its libraries' tests.
  const secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const vector = {
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: 1_614_265_330,
    body: '{"test": 2432232314}',
    signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  };
  const other = Buffer.alloc(32, 1).toString("base64");
  const signing = (...secrets: string[]): WebhookSigning => ({
    scheme: "standard",
    secrets: secrets.map((each) => createSecretKey(Buffer.from(each, "base64"))),
  });
  const body = '{"text":"ü"}';
  const sign = (by = secret, at = clock.nowMs) => new Webhook(by).sign("msg_1", new Date(at), body);
  const verify = (headers: Record<string, string>, of = signing(secret), content = body) =>
    verifySignature(
      of,
      new Headers({
        "webhook-id": "msg_1",
        "webhook-timestamp": String(clock.nowMs / 1000),
        "webhook-signature": sign(),
        ...headers,
      }),
      bytes(content),
      clock,
    );

  test("the specification's own example holds at its time", () => {
    const headers = new Headers({
      "webhook-id": vector.id,
      "webhook-timestamp": String(vector.timestamp),
      "webhook-signature": vector.signature,
    });
    const at = { ...clock, nowMs: vector.timestamp * 1000 };
    expect(verifySignature(signing(secret), headers, bytes(vector.body), at)).toEqual({
      kind: "signed",
      deliveryId: vector.id,
    });
    expect(verifySignature(signing(secret), headers, bytes(vector.body), clock)).toEqual({ kind: "stale" });
  });

  test("what the official library signs holds; one of several signatures and of several secrets is enough", () => {
    expect(verify({})).toEqual({ kind: "signed", deliveryId: "msg_1" });
    expect(verify({}, signing(other, secret)).kind).toBe("signed");
    expect(verify({ "webhook-signature": `v1a,${"A".repeat(86)}== ${sign(other)} ${sign()}` }).kind).toBe("signed");
  });

  test.each([
    ["no id", { "webhook-id": "" }, "no_signature"],
    ["no time", { "webhook-timestamp": "" }, "no_signature"],
    ["no signature", { "webhook-signature": "" }, "no_signature"],
    ["another version only", { "webhook-signature": sign().replace("v1", "v2") }, "no_signature"],
    ["part of one", { "webhook-signature": sign().slice(0, 20) }, "no_signature"],
    ["what another secret signed", { "webhook-signature": sign(other) }, "bad_signature"],
    ["another id", { "webhook-id": "msg_2" }, "bad_signature"],
    ["another time", { "webhook-timestamp": String(clock.nowMs / 1000 + 1) }, "bad_signature"],
    ["a time that goes on", { "webhook-timestamp": `${clock.nowMs / 1000}x` }, "bad_signature"],
  ])("%s does not", (_title, headers, kind) => {
    expect(verify(headers as Record<string, string>)).toEqual({ kind });
  });

  test("a body of which a byte was changed does not", () => {
    expect(verify({}, signing(secret), '{"text":"u"}').kind).toBe("bad_signature");
  });

  test("what is no number was signed, and is no time", () => {
    const signature = createHmac("sha256", Buffer.from(secret, "base64")).update(`msg_1.soon.${body}`).digest("base64");
    expect(verify({ "webhook-timestamp": "soon", "webhook-signature": `v1,${signature}` }).kind).toBe("bad_signature");
  });

  test.each([
    [-300, "signed"],
    [-301, "stale"],
    [300, "signed"],
    [301, "stale"],
  ])("a time that is %i s off is %s", (seconds, kind) => {
    const at = clock.nowMs + seconds * 1000;
    expect(verify({ "webhook-timestamp": String(at / 1000), "webhook-signature": sign(secret, at) }).kind).toBe(kind);
  });
});

test("nobody has signed for a source that there is not", () => {
  const headers = new Headers({
    "webhook-id": "msg_1",
    "webhook-timestamp": String(clock.nowMs / 1000),
    "webhook-signature": new Webhook(Buffer.alloc(32).toString("base64")).sign("msg_1", new Date(clock.nowMs), "{}"),
  });
  expect(verifySignature(nobodysSigning(), headers, bytes("{}"), clock)).toEqual({ kind: "bad_signature" });
});
