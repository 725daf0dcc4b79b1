/**
 * Headers of every answer. Nothing here is meant to be kept, framed, sniffed or passed on: `Location` and the addresses of readings
 * carry tokens.
 */
import type { MiddlewareHandler } from 'hono';

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** Sets them; a content security policy that the route has set itself stays. */
export const setSecurityHeaders: MiddlewareHandler = async (c, next) => {
  await next();
  for (const [name, value] of Object.entries(HEADERS)) {
    if (name === 'content-security-policy' && c.res.headers.has(name)) continue;
    c.res.headers.set(name, value);
  }
};
