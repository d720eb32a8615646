/**
 * Keeps credentials out of what we say. Providers echo keys in their errors, and proxies carry them in URLs; an error
 * message ends up in logs, events and the journal.
 */

/**
 * The shapes of keys in use: `sk-…`, `sk-ant-…`, GitHub, Google, Hugging Face, xAI, Groq and AWS tokens, also masked ones
 * (`sk-ab***yz`). What may be the beginning of a word or a name (`sk-learn`, `hf_hub_download`) must go on as only a key does.
 */
const tokenPattern =
  /\b(?:(?:sk|pk|rk|hf)[-_](?:(?=[-\w.]*\d)[-\w.]{20,}|[-\w.]*\*[-\w*.]*)|(?:xai-|gsk_|gh[pousr]_|github_pat_)[-\w*.]{8,}|AIza[-\w]{20,}|AKIA[A-Z\d]{12,})/g;
/** `Basic research` is no password: it has a digit, a change of case or a mark inside. */
const bearerPattern = /\b([Bb]earer|[Bb]asic)\s+(?=[^\s"',;]*(?:\d|[a-z][A-Z]|[._=+/]\w))[^\s"',;]{6,}/g;
const urlCredentialsPattern = /(:\/\/)[^/\s@]+@/g;

/** Where this finds nothing in a JSON text, none of its texts has such a shape. A letter before it may be the end of an escape. */
export const mayHaveShape =
  /(?:[^A-Za-z]|\\[bfnrt]|\\u[\da-f]{4})(?:(?:sk|pk|rk|hf|xai|gsk|gh[pousr]|github_pat)[-_]|AIza|AKIA|[Bb]earer|[Bb]asic)|:\/\/[^/\s"]*@/;

/** @param secrets exact values that must never appear, whatever they look like; those under 6 characters are no secrets */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) if (secret.length >= 6) clean = clean.replaceAll(secret, "[redacted]");
  return clean
    .replace(bearerPattern, "$1 [redacted]")
    .replace(tokenPattern, "[redacted]")
    .replace(urlCredentialsPattern, "$1[redacted]@");
}
