/** `/login`: gives a browser a session for a key. `/logout` takes it back. */
import type { Hono } from "hono";
import type { Access } from "../access/access.ts";
import { isSameOrigin, isSecure } from "../access/same-origin.ts";
import { readBytes } from "../http/body.ts";
import { Refusal } from "../http/problem.ts";
import { refuseOtherMethods } from "../http/route.ts";
import type { RequestState } from "../parts.ts";
import { escapeHtml, page } from "./page.ts";

const maxBytes = 8192;

export function mountLogin(app: Hono<RequestState>, access: Access): void {
  app.get("/login", (c) => {
    c.set("route", "/login");
    return form(ownPath(c.req.query("next")), null);
  });
  app.post("/login", async (c) => {
    c.set("route", "/login");
    requireOwnPage(c.req.raw);
    const fields = new URLSearchParams(new TextDecoder().decode(await readBytes(c.req.raw, maxBytes)));
    const key = fields.get("key")?.trim() ?? "";
    const next = ownPath(fields.get("next") ?? undefined);
    if ((await access.find(key)) === undefined) return form(next, "This key is not known, or was revoked.");
    return new Response(null, {
      status: 303,
      headers: { location: next, "set-cookie": access.cookies.issue(key, isSecure(c.req.raw)) },
    });
  });
  app.post("/logout", (c) => {
    c.set("route", "/logout");
    requireOwnPage(c.req.raw);
    return new Response(null, {
      status: 303,
      headers: { location: "/login", "set-cookie": access.cookies.clear(isSecure(c.req.raw)) },
    });
  });
  refuseOtherMethods(app, "/login", ["GET", "POST"]);
  refuseOtherMethods(app, "/logout", ["POST"]);
}

function requireOwnPage(request: Request): void {
  if (!isSameOrigin(request)) throw new Refusal("forbidden", "This form must be sent from this site's own page.");
}

/** Where to go after signing in: never to another site. */
function ownPath(next: string | undefined): string {
  return next !== undefined && /^\/(?![/\\])[\w\-./]*$/.test(next) ? next : "/";
}

function form(next: string, problem: string | null): Response {
  return page(
    "Sign in",
    `<h1>Sign in</h1>
<p>With an API key. The first one is in <code>.outerloop/api-key</code> where the server was started.</p>
${problem === null ? "" : `<p role="alert">${escapeHtml(problem)}</p>`}
<form method="post" action="/login"><label>Key <input name="key" type="password" autocomplete="current-password" required autofocus></label>
<input name="next" type="hidden" value="${escapeHtml(next)}"><button>Sign in</button></form>`,
    problem === null ? 200 : 401,
  );
}
