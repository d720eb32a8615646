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
