/** Whether bytes are text that a model can read. */

const imageNames = /\.(?:png|jpe?g|gif|webp|avif|heic|bmp|ico|icns|tiff?|psd)$/i;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text, or what it is instead. A NUL byte or invalid UTF-8 makes it binary. */
export function readText(
  path: string,
  bytes: Uint8Array,
): { readonly text: string } | { readonly notText: "image" | "binary" } {
  if (bytes.includes(0)) return { notText: kindOf(path) };
  try {
    return { text: decoder.decode(bytes) };
  } catch {
    return { notText: kindOf(path) };
  }
}

/** By its first bytes: for files that are too large to be read whole for nothing. A cut may stand inside a character. */
export function looksBinary(head: Uint8Array): boolean {
  if (head.includes(0)) return true;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    return false;
  } catch {
    return true;
  }
}

export function kindOf(path: string): "image" | "binary" {
  return imageNames.test(path) ? "image" : "binary";
}
