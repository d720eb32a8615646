/** Set-up could not go on: `message` says what failed, `advice` what to do about it. */
export class SetupError extends Error {
  constructor(message, advice, details = []) {
    super(message);
    this.name = "SetupError";
    this.advice = advice;
    this.details = details;
  }
}

const causes = [
  {
    sign: /ENOSPC|no space left/i,
    message: "The disk is full.",
    advice: "An installation takes about 300 MB (700 MB with the tools for tests). Free some space, then try again.",
  },
  {
    sign: /EACCES|EPERM|EROFS|permission denied|read-only file system/i,
    message: "A folder could not be written.",
    advice: "This checkout, ~/.npm and pnpm's store must belong to the user who starts it.",
  },
  {
    sign: /OUTDATED_LOCKFILE|LOCKFILE_CONFIG_MISMATCH/,
    message: "pnpm-lock.yaml does not match the package.json files.",
    advice: "If you changed a package.json, run: npx pnpm@12 install. Otherwise restore both with git.",
  },
  {
    sign: /ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|CERT|_FETCH|network|dns|error sending request/i,
    message: "The package registry could not be reached.",
    advice: "The first start downloads packages. Check the network and `npm config get registry`, then try again.",
  },
];

/** Turns what npm and pnpm wrote into one reason and one thing to do. */
export function explainInstallFailure(lines) {
  const text = lines.join("\n");
  const cause = causes.find(({ sign }) => sign.test(text));
  const message = cause?.message ?? "The packages could not be installed.";
  return new SetupError(message, cause?.advice ?? "Try again; if it stays, delete node_modules first.", lines);
}

/** Prints why set-up failed and ends the process; anything unexpected is thrown on. */
export function failSetup(error) {
  if (!(error instanceof SetupError)) throw error;
  const details = error.details.map((line) => `  ${line}\n`).join("");
  process.stderr.write(`${error.message}\n${details}${error.advice}\n`);
  process.exit(1);
}
