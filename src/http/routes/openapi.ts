/**
 * `GET /openapi.json`: what this Worker answers to, for programs. Open to anybody: it contains nothing that is not in the
 * documentation.
 */
import { Hono } from 'hono';
import type { HttpEnv } from '../context.ts';
import { describeApi } from '../openapi.ts';
import type { Ports } from '../ports.ts';

export function openapiRoutes({ config, version }: Ports): Hono<HttpEnv> {
  return new Hono<HttpEnv>().get('/openapi.json', (c) => c.json(describeApi(config.origin, version)));
}
