import { OuterloopError } from "@outerloop/core/domain";

/** How a command ends (docs: `outerloop --help`). */
export const exitCodes = {
  success: 0,
  /** The goal failed, was abandoned or cancelled; a model does not serve. */
  goalFailed: 1,
  /** The command could not be carried out: wrong arguments, no server, a request that was refused. */
  usage: 2,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** What a person can mend; its message is all that is printed. */
export class UserError extends OuterloopError {
  constructor(message: string) {
    super("invalid_input", message);
  }
}
