import type { Principal } from "@outerloop/core";
import { expect, test } from "vitest";
import { createPrincipalCache } from "./principal-cache.ts";

const principal = { kind: "key", tenantId: "default", keyId: "k_1", role: "viewer" } as Principal;

function counting() {
  const asked: string[] = [];
  return { asked, find: async (key: string) => (asked.push(key), key === "unknown" ? undefined : principal) };
}

test("a key is looked up once while it is fresh, and again after that", async () => {
  let now = 0;
  const cache = createPrincipalCache({ ttlMs: 5000, size: 10 }, () => now);
  const { asked, find } = counting();
  await cache.lookUp("a", find);
  now = 4999;
  await cache.lookUp("a", find);
  expect(asked).toEqual(["a"]);
  now = 5000;
  await cache.lookUp("a", find);
  expect(asked).toEqual(["a", "a"]);
});

test("an unknown key is asked for every time, so that a new one works at once", async () => {
  const cache = createPrincipalCache({ ttlMs: 5000, size: 10 }, () => 0);
  const { asked, find } = counting();
  await cache.lookUp("unknown", find);
  await cache.lookUp("unknown", find);
  expect(asked).toHaveLength(2);
});

test("it never grows beyond its size: the key used longest ago goes", async () => {
  const cache = createPrincipalCache({ ttlMs: 5000, size: 2 }, () => 0);
  const { asked, find } = counting();
  for (const key of ["a", "b", "a", "c", "a", "b"]) await cache.lookUp(key, find);
  expect(asked).toEqual(["a", "b", "c", "b"]);
});
