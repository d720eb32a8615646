/** GitHub tokens for Copilot: which kinds there are, and what it means when one does not work. */
import { OuterloopError } from "../../../domain/errors.ts";
import type { Connection } from "../shared/connection.ts";
import { faultError, type Fault, type FaultContext } from "../shared/provider-error.ts";

/** Throws `config` for none and for one that cannot work; a server of one's own needs none. */
export function requireToken({ apiKey, baseURL }: Connection): void {
  if (baseURL) return;
  const how =
    'set COPILOT_GITHUB_TOKEN to a fine-grained personal access token with the permission "Copilot Requests", or to a gho_ or ghu_ token of an account with Copilot';
  if (!apiKey) throw new OuterloopError("config", `copilot: there is no token; ${how}`);
  if (apiKey.startsWith("ghp_"))
    throw new OuterloopError("config", `copilot: classic personal access tokens (ghp_) are not accepted; ${how}`);
}

/** Also for what the runtime says where GitHub gave it nothing for the token. */
export function refusedToken({ where }: FaultContext): OuterloopError {
  return new OuterloopError(
    "config",
    `${where}: GitHub did not accept the token; check that it has not expired, and that it has the permission "Copilot Requests"`,
  );
}

/** What a failure means that GitHub itself answered with. */
export function copilotError(fault: Fault, context: FaultContext): OuterloopError {
  if (fault.status === 401) return refusedToken(context);
  if (fault.status === 403)
    return new OuterloopError(
      "config",
      `${context.where}: the account of the token has no Copilot, or its organisation does not allow this model (403)`,
    );
  return faultError(fault, context);
}
