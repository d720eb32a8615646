/** What a user may say about models, as plain data; configuration fills it, routing reads it. */
import { OuterloopError } from "../../domain/errors.ts";
import type { Stage } from "../../domain/model.ts";
import type { PayloadLimits } from "../../domain/payload.ts";

export interface ModelSettings {
  /** `provider/model` for every stage; a provider alone takes its default models. */
  readonly model?: string | undefined;
  readonly modelPlan?: string | undefined;
  readonly modelExecute?: string | undefined;
  readonly modelReflect?: string | undefined;
  readonly modelIntake?: string | undefined;
  /** `openai/model`, `openai/model@dimensions` or `local`. */
  readonly modelEmbed?: string | undefined;
  readonly openAiKey?: string | undefined;
  readonly openAiBaseUrl?: string | undefined;
  readonly openAiApi?: "responses" | "chat" | undefined;
  readonly anthropicKey?: string | undefined;
  readonly anthropicBaseUrl?: string | undefined;
  /** The whole of one call. */
  readonly requestTimeoutMs?: number | undefined;
  readonly firstTokenTimeoutMs?: number | undefined;
  readonly betweenTokensTimeoutMs?: number | undefined;
  readonly limits?: Pick<PayloadLimits, "answerBytes" | "toolArgsBytes"> | undefined;
  /** Calls made for one step, the first included. */
  readonly modelTries?: number | undefined;
}

export const providerNames = ["openai", "anthropic", "offline"] as const;
export type ProviderName = (typeof providerNames)[number];

/** A model as a user names it; without `model` the provider's default for the stage is meant. */
export interface ModelChoice {
  readonly provider: ProviderName;
  readonly model?: string;
}

const stageSettings = {
  plan: ["modelPlan", "OUTERLOOP_MODEL_PLAN"],
  execute: ["modelExecute", "OUTERLOOP_MODEL_EXECUTE"],
  reflect: ["modelReflect", "OUTERLOOP_MODEL_REFLECT"],
  intake: ["modelIntake", "OUTERLOOP_MODEL_INTAKE"],
} as const satisfies Record<Stage, readonly [keyof ModelSettings, string]>;

/** The stage's own setting, else the general one, else what keys and base URLs select; OpenAI before Anthropic, offline where there is neither. */
export function choiceFor(stage: Stage, settings: ModelSettings): ModelChoice {
  const [setting, variable] = stageSettings[stage];
  const own = settings[setting];
  if (own) return readChoice(own, variable);
  if (settings.model) return readChoice(settings.model, "OUTERLOOP_MODEL");
  if (settings.openAiKey || settings.openAiBaseUrl) return { provider: "openai" };
  if (settings.anthropicKey || settings.anthropicBaseUrl) return { provider: "anthropic" };
  return { provider: "offline" };
}

/** @param variable what the user would have to change */
export function readChoice(text: string, variable: string): ModelChoice {
  // Only the first slash divides: models of gateways have slashes of their own.
  const [, name = "", model] = /^([^/]*)(?:\/(.*))?$/.exec(text.trim()) ?? [];
  const provider = providerNames.find((known) => known === name);
  if (!provider) {
    const fix = `write provider/model, for instance openai/gpt-6.1-sol; providers are ${providerNames.join(", ")}`;
    throw new OuterloopError("config", `${variable}=${text}: no provider is called "${name}"; ${fix}`);
  }
  if (model === "") throw new OuterloopError("config", `${variable}=${text}: the model is missing after "${name}/"`);
  return model === undefined ? { provider } : { provider, model };
}
