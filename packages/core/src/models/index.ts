export { ask, type Asked } from "./ask.ts";
export { createAnthropic } from "./adapters/anthropic.ts";
export type { Connection } from "./adapters/shared/connection.ts";
export { defaultTimeouts, type Timeouts } from "./adapters/shared/live-call.ts";
export { createOpenAiChat } from "./adapters/openai/chat.ts";
export { createOpenAiResponses } from "./adapters/openai/responses.ts";
export type { Embedder, Provider, ProviderResponse } from "./provider.ts";
export { assembleModels } from "./routing/assemble.ts";
export { passOvers } from "./routing/call.ts";
export type { HeldTarget, ModelControl } from "./routing/control.ts";
export {
  createModels,
  type ModelParts,
  type Models,
  type RouteView,
  type StageModels,
  type TestedModel,
} from "./routing/models.ts";
export { routedUses, type ModelSettings, type RateLimit, type RoutedUse } from "./routing/settings.ts";
export { createReplayProvider, readRecording } from "./replay/index.ts";
export { redact } from "./secrets.ts";
export { readStructured, repairRequest, unusableAnswer, type StructuredRead } from "./structured.ts";
