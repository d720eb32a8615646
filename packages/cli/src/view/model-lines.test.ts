import type { ModelsResource, TenantUsageResource, UsageAmounts } from "@outerloop/core/domain";
import { describe, expect, test } from "vitest";
import { colourStyle, plainStyle } from "../text/style.ts";
import { modelLines, testLines } from "./model-lines.ts";
import { usageLines } from "./usage-lines.ts";

const amounts = (of: Partial<UsageAmounts> = {}): UsageAmounts => ({
  calls: 0,
  input_tokens: 0,
  cached_input_tokens: 0,
  output_tokens: 0,
  reasoning_tokens: 0,
  usd: 0,
  unpriced_calls: 0,
  ms: 0,
  first_token_ms: null,
  ...of,
});
const tenant = (total = amounts(), rows: TenantUsageResource["rows"] = []): TenantUsageResource => ({
  from: "2026-11-01",
  to: "2026-11-22",
  total,
  rows,
});
const nothing = { day: tenant(), month: tenant() };
const listed = { input: 2, output: 10, version: "2026-11-01" };
const noRate = { requests_per_minute: null, tokens_per_minute: null };
const view = {
  services: ["executor", "planner"],
  processes: 3,
  overrides: "any",
  routes: [
    {
      use: "plan",
      models: [
        { name: "anthropic/claude-opus-5-5", price: { input: 4, output: 20, version: "2026-11-01" } },
        { name: "openai/gpt-6.1-sol", price: listed },
      ],
    },
    { use: "reflect", models: [{ name: "gateway/unknown", price: null }] },
    { use: "hard", models: [{ name: "openai/gpt-6.1-sol", price: listed }] },
    { use: "embed", models: [{ name: "local/hash", price: { input: 0, output: 0, version: "free" } }] },
    { use: "transcribe", models: [] },
  ],
  limits: [],
} satisfies ModelsResource["views"][number];
const show = (models: Partial<ModelsResource>, spend = nothing) =>
  modelLines({ views: [view], held: [], used: [], ...models }, spend, plainStyle);

describe("models", () => {
  test("stand by stage in a goal's order, with what serves else, and prices below each other", () => {
    expect(show({})).toEqual([
      "plan       ● anthropic/claude-opus-5-5  $4 in, $20 out",
      "  else     ● openai/gpt-6.1-sol         $2 in, $10 out",
      "hard       ● openai/gpt-6.1-sol         $2 in, $10 out",
      "reflect    ● gateway/unknown            price unknown",
      "embed      ● local/hash                 free",
      "           Prices are dollars a million tokens.",
      "",
      "today      $0 · 0 calls · 0 tokens",
      "month      $0 · 0 calls · 0 tokens",
    ]);
  });

  test("that are held back are marked, with when they are asked again and why", () => {
    const held = { since: "2026-11-22T12:00:00.000Z", failed_probes: 0, left_ms: 42_000 };
    const lines = show({
      held: [
        { ...held, model: "openai/gpt-6.1-sol", state: "open", reason: "timed out", failed_probes: 2 },
        { ...held, model: "gone/x", state: "half_open", reason: "away" },
        { ...held, model: "gateway/unknown", state: "cooling", reason: "429: slow\u001b[2J\ndown" },
      ],
    });
    expect(lines.filter((line) => line.includes("○"))).toEqual([
      "  else     ○ openai/gpt-6.1-sol         $2 in, $10 out",
      "hard       ○ openai/gpt-6.1-sol         $2 in, $10 out",
      "reflect    ○ gateway/unknown            price unknown",
      "○ openai/gpt-6.1-sol is away; asked again in 42 s (2 probes failed)",
      "○ gone/x is away; it is being asked again",
      "○ gateway/unknown asked for no calls for 42 s",
    ]);
    expect(lines).toContain("  429: slow\\x1b[2J down");
  });

  test("limits say what of them is used, what a tenant may, and who waits", () => {
    const limits = [
      {
        target: "openai",
        requests_per_minute: 500,
        tokens_per_minute: 2_000_000,
        tenant: { requests_per_minute: 100, tokens_per_minute: null },
        concurrency: null,
      },
      { target: "gateway/unknown", ...noRate, tenant: noRate, concurrency: 1 },
    ];
    const used = [{ target: "openai", requests: 7, tokens: 12_345, tenants_waiting: 2 }];
    expect(show({ views: [{ ...view, limits }], used }).filter((line) => line.startsWith("limit"))).toEqual([
      "limit      openai           7 of 500 requests and 12,345 of 2,000,000 tokens in the last minute · a tenant 100 requests a minute · 2 tenants waiting",
      "limit      gateway/unknown  1 call at once a process",
    ]);
  });

  test("of processes whose settings differ stand under each other, with whose they are", () => {
    const other = { ...view, processes: 1, services: ["reflector"], routes: view.routes.slice(1, 2) };
    expect(show({ views: [view, other] }).filter((line) => line.includes("process"))).toEqual([
      "3 processes: executor, planner",
      "1 process: reflector",
    ]);
  });

  test("what they cost: the day, the month, and of it the dearest five", () => {
    const rows = [40, 3, 2, 1, 0.5, 0.25, 0].map((usd, index) => ({
      ...amounts({ usd, calls: 1 }),
      model: `openai/m${index}`,
      stage: "plan",
    }));
    const month = tenant(
      amounts({ usd: 46.75, calls: 9, unpriced_calls: 2, input_tokens: 900, output_tokens: 100 }),
      rows,
    );
    expect(show({}, { day: tenant(amounts({ usd: 0.002, calls: 1 })), month }).slice(7)).toEqual([
      "today      $0.002 · 1 call · 0 tokens",
      "month      $46.75, without 2 calls of unknown price · 9 calls · 1,000 tokens",
      "           $40.00  openai/m0 plan",
      "           $3.00   openai/m1 plan",
      "           $2.00   openai/m2 plan",
      "           $1.00   openai/m3 plan",
      "           $0.50   openai/m4 plan",
    ]);
  });

  test("without a process that calls models say so", () => {
    expect(show({ views: [] })).toEqual(["No process that calls models has told its routes yet."]);
  });

  test("are told apart without colour too", () => {
    const coloured = modelLines({ views: [view], held: [], used: [] }, nothing, colourStyle);
    // oxlint-disable-next-line no-control-regex -- colours are control characters
    expect(coloured.map((line) => line.replaceAll(/\u001b\[\d+m/g, ""))).toEqual(show({}));
    expect(coloured.join("")).toContain("\u001b[");
  });
});

describe("a test of models", () => {
  test("says what served, what not and why, and shows no control character of an answer", () => {
    const lines = testLines(
      [
        { name: "openai/a", uses: ["plan", "hard"], ok: true, ms: 640, detail: "ok \u001b[2J\u202Eevil" },
        { name: "local/hash", uses: ["embed"], ok: true, ms: 1, detail: "" },
        { name: "other/\u0007b", uses: ["execute"], ok: false, ms: 10_000, detail: "404\u009b1m\nno such model" },
      ],
      plainStyle,
    );
    expect(lines).toEqual([
      "✓ openai/a     640 ms · plan, hard · it said: ok \\x1b[2J\\u202eevil",
      "✓ local/hash   1 ms · embed",
      "✗ other/\\x07b  10 s · execute",
      "  404\\x9b1m no such model",
    ]);
  });
});

describe("usage", () => {
  const row = { model: "openai/a", stage: "plan" };
  test("of a goal stands by task in columns, without those that are empty", () => {
    const first = amounts({ calls: 2, input_tokens: 10_000, output_tokens: 600, usd: 0.03, ms: 1500 });
    const second = amounts({ calls: 1, input_tokens: 20, output_tokens: 5, unpriced_calls: 1, ms: 90_000 });
    const total = amounts({
      calls: 3,
      input_tokens: 10_020,
      output_tokens: 605,
      usd: 0.03,
      unpriced_calls: 1,
      ms: 2000,
    });
    const rows = [
      { ...first, ...row, task: null },
      { ...second, stage: "execute", model: "gateway/qwen\u001b3", task: "t1" },
    ];
    expect(usageLines({ total, rows }, plainStyle)).toEqual([
      "task   stage    model              calls   input  output     cost      median",
      "goal   plan     openai/a               2  10,000     600    $0.03       1.5 s",
      "t1     execute  gateway/qwen\\x1b3      1      20       5  unknown  1 min 30 s",
      "total                                  3  10,020     605  ≥ $0.03         2 s",
      "without 1 call of models whose price is not known",
    ]);
  });

  test("of all goals stands by model, with what was cached, reasoned and seen first", () => {
    const total = amounts({
      calls: 1,
      input_tokens: 9,
      cached_input_tokens: 4,
      output_tokens: 3,
      reasoning_tokens: 2,
      usd: 1,
      ms: 10,
      first_token_ms: 5,
    });
    expect(usageLines(tenant(total, [{ ...total, ...row }]), plainStyle)).toEqual([
      "model     stage  calls  input  cached  output  reasoning   cost  median  first token",
      "openai/a  plan       1      9       4       3          2  $1.00   10 ms         5 ms",
      "total                1      9       4       3          2  $1.00   10 ms         5 ms",
    ]);
  });

  test("of nothing says so", () => {
    expect(usageLines(tenant(), plainStyle)).toEqual(["No model was called."]);
  });
});
