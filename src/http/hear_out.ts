/**
 * A refusal must reach its sender: what a route left of the body is drained before its answer goes out, within limits of
 * bytes and of time. A sender who brings more than that asks first, with the request alone.
 */
import type { MiddlewareHandler } from 'hono';
import { LIMITS } from '../domain/limits.ts';
import type { HttpEnv } from './context.ts';

/** @param sleep as in the ports; bounds how long a slow sender is heard out */
export function hearOut(sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>): MiddlewareHandler<HttpEnv> {
  return async function hearOutRequest(c, next) {
    await next();
    if (c.var.body.ended) return;
    const timer = new AbortController();
    const patience = new AbortController();
    sleep(LIMITS.drain_seconds * 1000, timer.signal).then(() => patience.abort());
    await c.var.body.drain(LIMITS.drain_bytes, patience.signal);
    timer.abort();
  };
}
