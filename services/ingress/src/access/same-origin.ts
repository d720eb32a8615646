/**
 * Whether a request that changes something came from our own pages. Browsers say so by Sec-Fetch-Site, which pages can't
 * set, older ones by Origin; a request with neither is refused, since only a browser has our cookie.
 */
export function isSameOrigin(request: Request): boolean {
  const site = request.headers.get("sec-fetch-site");
  if (site !== null) return site === "same-origin";
  const origin = request.headers.get("origin");
  if (origin === null || !URL.canParse(origin)) return false;
  // Only hosts are compared: behind a proxy that ends TLS we see http where the browser says https.
  return new URL(origin).host === (request.headers.get("host") ?? new URL(request.url).host);
}

/** Whether the browser speaks https, to us or to the proxy before us. */
export function isSecure(request: Request): boolean {
  return (
    new URL(request.url).protocol === "https:" ||
    request.headers.get("x-forwarded-proto")?.split(",")[0]?.trim() === "https"
  );
}
