/** How models are named on a command line. */
import { routeStages, type ModelWishesRequest, type RouteStage } from "@outerloop/core/domain";
import { UserError } from "../exit.ts";
import { printableLine } from "../text/printable.ts";

export const modelHelp =
  "STAGE=PROVIDER/MODEL (more by commas, in order of preference), or PROVIDER/MODEL for every stage; may be repeated";

/** Gathers `plan=a/b,c/d` and `a/b`; what names a stage wins over what names none. */
export function wish(text: string, before: ModelWishesRequest = {}): ModelWishesRequest {
  const [, stage, list = ""] = /^(?:(\w+)=)?(.+)$/.exec(text) ?? [];
  const names = list.split(",").map((name) => name.trim());
  if (names.some((name) => !/^[^/\s]+\/\S+$/.test(name)))
    throw new UserError(`"${printableLine(text)}" is no model; write ${modelHelp}`);
  if (stage === undefined) return { ...Object.fromEntries(routeStages.map((each) => [each, names])), ...before };
  if (!(routeStages as readonly string[]).includes(stage))
    throw new UserError(`There is no stage "${printableLine(stage)}": they are ${routeStages.join(", ")}.`);
  return { ...before, [stage as RouteStage]: names };
}
