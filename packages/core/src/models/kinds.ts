/** The kinds of providers that there are. A new one is a file in `adapters/` and a line here (CONTRIBUTING.md). */
import { anthropicKind } from "./adapters/anthropic.ts";
import { copilotKind } from "./adapters/copilot.ts";
import { openAiKind } from "./adapters/openai/kind.ts";
import type { ProviderKind } from "./provider.ts";

/** Where keys of several are present, the first is the default. */
export const providerKinds: readonly ProviderKind[] = [openAiKind, anthropicKind, copilotKind];
