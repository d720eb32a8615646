import { expect, test } from "vitest";
import { readConfig } from "./config.ts";

test("an empty environment runs embedded in ./.outerloop", () => {
  expect(readConfig({}, "/srv")).toMatchObject({
    databaseUrl: null,
    redisUrl: null,
    port: 4000,
    portIsSet: false,
    dataDir: "/srv/.outerloop",
    apiKey: null,
  });
});

test("Redis without Postgres is refused, with the fix in the message", () => {
  expect(() => readConfig({ REDIS_URL: "redis://x" })).toThrow(/Set DATABASE_URL .* or unset REDIS_URL/);
});

test("every variable that is wrong is named with what it must be, and its value is not repeated", () => {
  const bad = () =>
    readConfig({ PORT: "abc", DATABASE_URL: "mysql://user:secret@host", OUTERLOOP_EXECUTOR_SLOTS: "0" });
  expect(bad).toThrow(
    /PORT: .*\n?DATABASE_URL: must begin with postgres|DATABASE_URL: must begin with postgres[\s\S]*PORT/,
  );
  expect(bad).toThrow(/OUTERLOOP_EXECUTOR_SLOTS/);
  expect(bad).not.toThrow(/secret/);
});

test("an empty variable is one that was not set", () => {
  expect(readConfig({ DATABASE_URL: "", REDIS_URL: "", PORT: "", OPENAI_API_KEY: "" })).toMatchObject({
    databaseUrl: null,
    port: 4000,
  });
});

test("skill modules are a list by commas, and none when it is empty", () => {
  expect(readConfig({ OUTERLOOP_SKILL_MODULES: " ./mail.ts, our-skills ,," }).skillModules).toEqual([
    "./mail.ts",
    "our-skills",
  ]);
  expect(readConfig({ OUTERLOOP_SKILL_MODULES: "" }).skillModules).toEqual([]);
});

test("every external call waits for a person, unless its tool is listed; the policy's version follows the list", () => {
  const policyOf = (listed: string) => readConfig({ OUTERLOOP_AUTO_APPROVE: listed }).policy;
  expect(policyOf("").autoApprove).toEqual(new Set());
  expect(policyOf(" b, a,a ,").autoApprove).toEqual(new Set(["a", "b"]));
  expect(policyOf("*").autoApprove).toBe("all");
  expect(policyOf("a,b").version).toBe(policyOf("b , a").version);
  expect(policyOf("a").version).not.toBe(policyOf("").version);
  expect(() => policyOf("send mail; drop")).toThrow(/OUTERLOOP_AUTO_APPROVE: must be tool names/);
});

test("an approval waits a week and is rejected then, unless set otherwise", () => {
  expect(readConfig({}).policy).toMatchObject({ deadlineMs: 604_800_000, onDeadline: "reject" });
  expect(
    readConfig({ OUTERLOOP_APPROVAL_DEADLINE_MS: "5000", OUTERLOOP_ON_APPROVAL_DEADLINE: "fail" }).policy,
  ).toMatchObject({ deadlineMs: 5000, onDeadline: "fail" });
  expect(() => readConfig({ OUTERLOOP_APPROVAL_DEADLINE_MS: "10" })).toThrow(/OUTERLOOP_APPROVAL_DEADLINE_MS/);
});
