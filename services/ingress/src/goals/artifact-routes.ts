/** A goal's files. Anybody may have written them, so none is ever run in our origin. */
import {
  artifactResourceSchema,
  asPrincipal,
  attachmentPathSchema,
  listArtifacts,
  listSchema,
  OuterloopError,
  readArtifact,
  resolveGoalId,
} from "@outerloop/core";
import { defineRoute, json, type AnyRoute } from "../http/route.ts";
import type { IngressParts } from "../parts.ts";
import { contentTypeOf } from "./content-type.ts";
import { toArtifactResource } from "./resources.ts";

export function artifactRoutes({ db }: IngressParts): readonly AnyRoute[] {
  return [
    defineRoute(
      {
        method: "get",
        path: "/v1/goals/{id}/artifacts",
        name: "listArtifacts",
        summary: "The files of a goal: what was attached and what it wrote, each in its newest version.",
        role: "viewer",
        answers: {
          200: { description: "All files, by path.", schema: ["ArtifactList", listSchema(artifactResourceSchema)] },
        },
      },
      async ({ principal, params }) => {
        const goalId = await resolveGoalId(db, principal, params["id"]!);
        const files = await asPrincipal(db, principal, (trx) => listArtifacts(trx, goalId));
        return json({ items: files.map(toArtifactResource), next_cursor: null });
      },
    ),
    defineRoute(
      {
        method: "get",
        path: "/v1/goals/{id}/artifacts/{path}",
        name: "readArtifact",
        summary: "One file's bytes. Text and pictures by their type, everything else as a download.",
        role: "viewer",
        answers: { 200: { description: "The file.", content: "application/octet-stream" } },
      },
      async ({ principal, params }) => {
        const goalId = await resolveGoalId(db, principal, params["id"]!);
        const path = attachmentPathSchema.safeParse(params["path"]);
        const bytes = path.success
          ? await asPrincipal(db, principal, (trx) => readArtifact(trx, goalId, path.data))
          : undefined;
        if (!path.success || bytes === undefined)
          throw new OuterloopError("not_found", `Goal ${goalId} has no file of that path.`);
        const type = contentTypeOf(path.data);
        return new Response(bytes as Uint8Array<ArrayBuffer>, {
          headers: {
            "content-type": type ?? "application/octet-stream",
            "content-disposition": disposition(type === undefined ? "attachment" : "inline", path.data),
            "content-security-policy": "sandbox; default-src 'none'",
            "cache-control": "private, no-cache",
          },
        });
      },
    ),
  ];
}

/** RFC 6266: an ASCII name for all, the true one for who can read it. */
function disposition(kind: "attachment" | "inline", path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, "_");
  const encoded = encodeURIComponent(name.toWellFormed()).replaceAll(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename="${ascii}"; filename*=UTF-8''${encoded}`;
}
