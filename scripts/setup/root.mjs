import { fileURLToPath } from "node:url";

/** The checkout, as a URL ending in a slash and as a path. */
export const root = new URL("../../", import.meta.url);
export const rootPath = fileURLToPath(root);
