import { defaultPayloadLimits } from "./domain/payload.ts";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readConfig, settingNames } from "./config.ts";

test("an empty environment runs embedded in ./.outerloop", () => {
  expect(readConfig({}, "/srv")).toMatchObject({
    databaseUrl: null,
    redis: null,
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

test("an empty variable is one that was not set, whichever it is", () => {
  expect(settingNames.length).toBeGreaterThan(60);
  const read = (env: Record<string, string>) => {
    const { readModels, ...config } = readConfig(env, "/srv");
    return { ...config, models: readModels({}) };
  };
  expect(read(Object.fromEntries(settingNames.map((name) => [name, ""])))).toEqual(read({}));
});

test("a key that could be guessed is refused", () => {
  expect(() => readConfig({ OUTERLOOP_API_KEY: "ol_CHANGE_ME" })).toThrow(
    /OUTERLOOP_API_KEY: must be at least 20 characters long/,
  );
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

test("payload limits and the backoff have defaults, settings and bounds", () => {
  expect(readConfig({}).payload).toEqual(defaultPayloadLimits);
  expect(readConfig({}).backoff).toEqual({ baseMs: 2000, capMs: 300_000 });
  const config = readConfig({
    OUTERLOOP_MAX_ANSWER_BYTES: "2000",
    OUTERLOOP_MAX_TOOL_ARGS_BYTES: "2001",
    OUTERLOOP_MAX_TOOL_RESULT_BYTES: "2002",
    OUTERLOOP_MAX_FILE_BYTES: "2003",
    OUTERLOOP_MAX_NOTE_CHARS: "2004",
    OUTERLOOP_MAX_PLAN_TASKS: "5",
    OUTERLOOP_BACKOFF_BASE_MS: "50",
    OUTERLOOP_BACKOFF_CAP_MS: "60",
  });
  expect(config.payload).toEqual({
    answerBytes: 2000,
    toolArgsBytes: 2001,
    toolResultBytes: 2002,
    fileBytes: 2003,
    noteChars: 2004,
    planTasks: 5,
  });
  expect(config.readModels({}).payload).toEqual({ answerBytes: 2000, toolArgsBytes: 2001 });
  expect(config.backoff).toEqual({ baseMs: 50, capMs: 60 });
  // What a row of memory holds.
  expect(() => readConfig({ OUTERLOOP_MAX_NOTE_CHARS: "20001" })).toThrow(/OUTERLOOP_MAX_NOTE_CHARS/);
});

describe("Redis", () => {
  const redisOf = (env: Record<string, string>) => readConfig({ DATABASE_URL: "postgres://db", ...env }).redis;

  test("is one server by default, with what its URL says", () => {
    expect(redisOf({ REDIS_URL: "rediss://me:p%40ss@cache:6380/3" })).toEqual({
      mode: "single",
      nodes: [{ host: "cache", port: 6380 }],
      username: "me",
      password: "p@ss",
      db: 3,
      tls: true,
      sentinel: { name: "mymaster", password: null },
    });
    expect(redisOf({ REDIS_URL: "redis://:a,b@cache" })).toMatchObject({ password: "a,b" });
    expect(redisOf({ REDIS_URL: "redis://[::1]" })).toMatchObject({
      nodes: [{ host: "::1", port: 6379 }],
      username: null,
      db: 0,
      tls: false,
    });
  });

  test("may be behind sentinels, or a Cluster, each named by several URLs", () => {
    expect(
      redisOf({
        REDIS_URL: "redis://:secret@s1, redis://s2:5000/",
        REDIS_MODE: "sentinel",
        REDIS_SENTINEL_NAME: "main",
        REDIS_SENTINEL_PASSWORD: "other",
      }),
    ).toMatchObject({
      mode: "sentinel",
      nodes: [
        { host: "s1", port: 26_379 },
        { host: "s2", port: 5000 },
      ],
      password: "secret",
      sentinel: { name: "main", password: "other" },
    });
    expect(redisOf({ REDIS_URL: "redis://n1:7000,redis://n2:7001", REDIS_MODE: "cluster" })).toMatchObject({
      mode: "cluster",
      nodes: [
        { host: "n1", port: 7000 },
        { host: "n2", port: 7001 },
      ],
    });
  });

  test.each([
    ["http://x", "single", /must begin with redis/],
    ["redis://", "single", /no URL with a host/],
    ["redis://a:secret@b,redis://c", "single", /several servers: set REDIS_MODE/],
    ["redis://x/secret", "single", /number of a database/],
    ["redis://x/1", "cluster", /a Cluster has only the first/],
    ["redis://x", "ring", /REDIS_MODE/],
    ["redis://:secret%@x", "single", /not percent-encoded/],
    ["redis://:secret@x?family=6", "single", /none is known/],
  ])("%s as %s is refused without repeating it", (url, mode, expected) => {
    const bad = () => redisOf({ REDIS_URL: url, REDIS_MODE: mode });
    expect(bad).toThrow(expected);
    expect(bad).not.toThrow(/secret/);
  });
});

describe("a secret in a file", () => {
  const folder = mkdtempSync(join(tmpdir(), "outerloop-secrets-"));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  afterAll(() => rmSync(folder, { recursive: true }));

  test("stands for the variable, without the line end that editors leave", () => {
    const config = readConfig(
      {
        DATABASE_URL_FILE: file("url", "postgres://me:secret@db/app\n"),
        REDIS_URL_FILE: file("redis", "redis://cache"),
        OUTERLOOP_API_KEY_FILE: "key",
        OPENAI_API_KEY_FILE: file("openai", "sk-1"),
        ANTHROPIC_API_KEY_FILE: "",
        OUTERLOOP_WEBHOOKS_FILE: file("webhooks", '{"form": {"scheme": "sha256", "secret": "of-enough-length"}}\n'),
      },
      (file("key", "ol_secret_of_enough_length\r\n"), folder),
    );
    expect(config).toMatchObject({ databaseUrl: "postgres://me:secret@db/app", apiKey: "ol_secret_of_enough_length" });
    expect(config.redis?.nodes).toEqual([{ host: "cache", port: 6379 }]);
    expect(config.readModels({}).providers["openai"]?.apiKey).toBe("sk-1");
    expect(config.webhooks.sources).toMatchObject([{ name: "form" }]);
  });

  test.each([
    [{ OPENAI_API_KEY_FILE: "/nowhere/key" }, /OPENAI_API_KEY_FILE: names a file that cannot be read/],
    [{ OPENAI_API_KEY_FILE: file("empty", " \n") }, /OPENAI_API_KEY_FILE: names an empty file/],
    [{ OPENAI_API_KEY_FILE: file("large", "x".repeat(70_000)) }, /over 64 KiB/],
    [{ OPENAI_API_KEY_FILE: file("one", "x"), OPENAI_API_KEY: "y" }, /unset one of them/],
    [{ DATABASE_URL_FILE: file("wrong", "mysql://me:hidden@db") }, /DATABASE_URL: must begin with postgres/],
  ])("that is no use stops the start, and is not repeated (%#)", (env, expected) => {
    expect(() => readConfig(env)).toThrow(expected);
    expect(() => readConfig(env)).not.toThrow(/hidden/);
  });
});

test("a way past a pooler needs the pooler", () => {
  expect(readConfig({ DATABASE_URL: "postgres://pool", DATABASE_DIRECT_URL: "postgres://db" })).toMatchObject({
    databaseDirectUrl: "postgres://db",
  });
  expect(() => readConfig({ DATABASE_DIRECT_URL: "postgres://db" })).toThrow(/DATABASE_URL is not/);
});
