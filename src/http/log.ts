/**
 * One structured line per request, and one per accident. A line holds the route's pattern, never the address itself: an
 * address may carry a reading token.
 */
import type { MiddlewareHandler } from 'hono';
import { routePath } from 'hono/route';
import { Problem } from '../domain/problem.ts';
import type { HttpEnv } from './context.ts';

export interface LogEntry {
  readonly level: 'info' | 'error';
  readonly message: string;
  readonly [fact: string]: unknown;
}

/** How many causes below an error are written down. */
const CAUSES_COUNT = 4;

/**
 * Writes a line when a request has been answered: method, route, status, target, caller, deployment, problem, milliseconds.
 * @param now milliseconds since 1970
 */
export function logRequests(log: (entry: LogEntry) => void, now: () => number): MiddlewareHandler<HttpEnv> {
  return async function logRequest(c, next) {
    const startedAt = now();
    await next();
    const route = routePath(c, -1);
    log({
      level: 'info',
      message: 'request',
      reference: c.var.notes.reference,
      method: c.req.method,
      route: route === '/*' || route === '*' ? null : route,
      status: c.res.status,
      target: c.var.notes.target ?? null,
      caller: c.var.notes.caller ?? null,
      deployment: c.var.notes.deployment ?? null,
      problem: c.var.notes.problem ?? null,
      milliseconds: now() - startedAt,
    });
  };
}

/** An error and what caused it, as plain values for a log line. */
export function describeError(error: unknown): readonly Record<string, unknown>[] {
  const described: Record<string, unknown>[] = [];
  for (let current = error; current !== undefined && current !== null && described.length < CAUSES_COUNT; ) {
    if (!(current instanceof Error)) {
      described.push({ name: typeof current, message: String(current) });
      break;
    }
    const { name, message, stack } = current;
    described.push(current instanceof Problem ? { name, slug: current.slug, message } : { name, message, stack: stack ?? null });
    current = current.cause;
  }
  return described;
}
