// Where imports may point (DESIGN §3), as data; held by check-imports.mjs.

/** Which workspace packages each member may import. Services never import services; embedded only composes them. */
export const mayImportMembers = {
  "packages/core": [],
  "packages/skills": ["core"],
  "packages/client": ["core"],
  "packages/cli": ["client", "core"],
  "packages/dashboard": ["client", "core"],
  "services/ingress": ["core", "skills", "dashboard"],
  "services/planner": ["core", "skills"],
  "services/executor": ["core", "skills"],
  "services/reflector": ["core", "skills"],
  "services/embedded": ["core", "skills", "client", "cli", "ingress", "planner", "executor", "reflector"],
};

/** Folders that may import only these, besides themselves: other folders of the checkout, and packages. */
export const closedFolders = {
  "packages/core/src/domain": { folders: [], packages: ["zod"] },
  "packages/core/src/agent": { folders: ["packages/core/src/domain"], packages: ["zod"] },
};

const store = "packages/core/src/store";
const queue = "packages/core/src/queue";
const models = "packages/core/src/models";

/** Packages whose types stop at a border: only these folders may import them. */
export const ownedPackages = {
  bullmq: [queue],
  kysely: [store, queue],
  pg: [store, queue],
  pgvector: [store],
  "@electric-sql/pglite": [store],
  "@electric-sql/pglite-pgvector": [store],
  openai: [models],
  "@anthropic-ai/sdk": [models],
  "@github/copilot-sdk": [models],
};

/** Tests may use any package, wherever they stand; which members they may import holds for them too. */
export const isTest = (file) => /\.(test|cases)\.ts$|\/testing\//.test(file);
