/** A goal's files as a list: what it wrote first, since that is what people look for. */
import type { ArtifactResource } from "@outerloop/core/domain";
import { formatBytes } from "../text/quantities.ts";
import { printableLine } from "../text/printable.ts";

export function fileLines(files: readonly ArtifactResource[]): string[] {
  if (files.length === 0) return ["No files."];
  const sizes = files.map((file) => formatBytes(file.size));
  const width = Math.max(...sizes.map((size) => size.length));
  const line = (file: ArtifactResource) =>
    `${formatBytes(file.size).padStart(width)}  ${file.origin.padEnd("attached".length)}  ${printableLine(file.path)}`;
  return [
    ...files.filter((file) => file.origin === "written"),
    ...files.filter((file) => file.origin === "attached"),
  ].map(line);
}
