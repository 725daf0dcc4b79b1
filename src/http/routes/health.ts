/** `GET /healthz`: whether this Worker is set up. It asks no database, so it wakes none. */
import { Hono } from 'hono';
import type { HttpEnv } from '../context.ts';

export function healthRoutes(health: { readonly version: string; readonly configured: boolean }): Hono<HttpEnv> {
  return new Hono<HttpEnv>().get('/healthz', (c) =>
    c.json(
      { status: health.configured ? 'ok' : 'failing', configuration: health.configured ? 'ok' : 'not ok', version: health.version },
      health.configured ? 200 : 503,
    ),
  );
}
