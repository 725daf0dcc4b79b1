/**
 * The Worker's entry. It makes the app once per isolate, at the first request, from the bindings; everything else is in the
 * rooms below. Durable things are in the database: an isolate may end at any time.
 */
import type { ExecutionContext } from '@cloudflare/workers-types';
import type { Hono } from 'hono';
import type { HttpEnv } from '../http/context.ts';
import { setUp } from './set_up.ts';

let app: Hono<HttpEnv> | undefined;

export default {
  fetch(request: Request, env: Record<string, unknown>, context: ExecutionContext): Response | Promise<Response> {
    app ??= setUp(env);
    return app.fetch(request, env, context);
  },
};
