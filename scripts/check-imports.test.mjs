import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const script = fileURLToPath(new URL("./check-imports.mjs", import.meta.url));

/** Runs the check on a checkout of these files: path → text. */
function check(files) {
  const root = fs.mkdtempSync(join(tmpdir(), "outerloop-imports-"));
  onTestFinished(() => fs.rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    fs.mkdirSync(dirname(join(root, path)), { recursive: true });
    fs.writeFileSync(join(root, path), text);
  }
  const { status, stderr } = spawnSync(process.execPath, [script, root], { encoding: "utf8" });
  return { status, violations: stderr.trim().split("\n").filter(Boolean) };
}

test.each([
  ["a service that imports a service", "services/planner/src/x.ts", `import { a } from "@outerloop/executor";`],
  ["core that imports skills", "packages/core/src/x.ts", `export * from "@outerloop/skills";`],
  [
    "skills that import a service, also by path",
    "packages/skills/src/x.ts",
    `import "../../../services/ingress/src/index.ts";`,
  ],
  [
    "the domain that imports the store",
    "packages/core/src/domain/x.ts",
    `import type { Row } from "../store/rows.ts";`,
  ],
  ["the domain that does I/O", "packages/core/src/domain/x.ts", `import fs from "node:fs";`],
  ["an agent that imports a model", "packages/core/src/agent/deep/x.ts", `import { a } from "../../models/index.ts";`],
  ["bullmq outside the queue", "packages/core/src/store/x.ts", `import type { Job } from "bullmq";`],
  ["kysely outside the store", "packages/core/src/models/x.ts", `import { sql } from "kysely/helpers";`],
  ["a provider's SDK outside the models, loaded late", "services/executor/src/x.ts", `await import("openai");`],
  ["a member that nobody gave a direction", "packages/new/src/x.ts", `import { a } from "@outerloop/core";`],
])("refuses %s", (_, path, text) => {
  const { status, violations } = check({ [path]: text });
  expect({ status, count: violations.length }).toEqual({ status: 1, count: 1 });
  expect(violations[0]).toMatch(`${path}:1 `);
});

test("accepts what points the right way, and words that only look like imports", () => {
  const { status, violations } = check({
    "services/executor/src/x.ts": `import { a } from "@outerloop/skills";\nimport { b } from "@outerloop/core/domain";\nimport { c } from "hono";`,
    "services/embedded/src/x.ts": `import { a } from "@outerloop/executor";`,
    "packages/core/src/domain/x.ts": `import { z } from "zod";\n// import fs from "node:fs";\nexport const text = 'import "bullmq"';`,
    "packages/core/src/domain/x.test.ts": `import { test } from "vitest";`,
    "packages/core/src/agent/x.ts": `import { a } from "../domain/x.ts";`,
    "packages/core/src/queue/x.ts": `import { Queue } from "bullmq";\nimport { a } from "../store/x.ts";`,
  });
  expect({ status, violations }).toEqual({ status: 0, violations: [] });
});
