// Reads pnpm's events as two fractions: the Node binary by bytes, everything else by packages in place.
import { nodePackage } from "./node-binary.mjs";

/** Returns a handler for pnpm's ndjson events that reports to `progress` under the two names. */
export function trackInstall(progress, { nodeName, packagesName }) {
  const resolved = new Set();
  const fetched = new Set();
  const imported = new Set();
  let nodeSize = Infinity;

  return (event) => {
    const id = event.packageId;
    const isNode = nodePackage !== undefined && id?.startsWith(`${nodePackage}@`);
    switch (event.name) {
      case "pnpm:fetching-progress":
        if (!isNode) return;
        if (event.status === "started") nodeSize = event.size ?? Infinity;
        else progress.set(nodeName, (event.downloaded ?? 0) / nodeSize);
        return;
      case "pnpm:progress":
        if (event.status === "imported") {
          // The event names the target folder: …/node_modules/<package>
          if (event.to?.endsWith(`/${nodePackage}`)) progress.set(nodeName, 1);
          imported.add(event.to);
        } else {
          (event.status === "resolved" ? resolved : fetched).add(id);
          if (isNode && event.status !== "resolved") progress.set(nodeName, 1);
        }
        // Fetching is most of the time; linking into node_modules the rest.
        if (resolved.size > 0) progress.set(packagesName, (fetched.size + imported.size) / (2 * resolved.size));
    }
  };
}
