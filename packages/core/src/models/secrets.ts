/**
 * Keeps credentials out of what we say. Providers echo keys in their errors, and proxies carry them in URLs; an error
 * message ends up in logs, events and the journal.
 */

/** The shapes of keys in use: `sk-…`, `sk-ant-…`, GitHub, Google, Hugging Face, xAI, Groq and AWS tokens, also masked ones (`sk-ab***yz`). */
const tokenPattern = /\b(?:sk|pk|rk|xai|gsk|hf|ghp|gho|ghu|ghs|github_pat|AIza|AKIA)[-_A-Za-z0-9*.]{8,}/g;
const bearerPattern = /\b(Bearer|Basic)\s+[^\s"',;]+/gi;
const urlCredentialsPattern = /(:\/\/)[^/\s@]+@/g;

/** @param secrets exact values that must never appear, whatever they look like; those under 6 characters are no secrets */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) if (secret.length >= 6) clean = clean.replaceAll(secret, "[redacted]");
  return clean
    .replace(bearerPattern, "$1 [redacted]")
    .replace(tokenPattern, "[redacted]")
    .replace(urlCredentialsPattern, "$1[redacted]@");
}
