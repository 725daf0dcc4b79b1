/**
 * What one request carries through the middleware and its route: the body, read in one place only, and notes for the log.
 */
import type { Context, MiddlewareHandler } from 'hono';
import { IncomingBody } from './body.ts';
import { addressOf } from './rates.ts';
import type { UnprovedBytes } from './unproved.ts';

/** What is known about a request by the time it is answered; for the log line. */
export interface Notes {
  /** Names this request in the log and in answers that do not say why. */
  readonly reference: string;
  target?: string;
  caller?: string;
  deployment?: string;
  problem?: string;
}

export interface HttpEnv {
  Variables: { notes: Notes; body: IncomingBody };
}

export type HttpContext = Context<HttpEnv>;

/** Gives each request its notes and its body. Comes before all other middleware. */
export function prepareRequests(unproved: UnprovedBytes): MiddlewareHandler<HttpEnv> {
  return async function prepareRequest(c, next) {
    const body = new IncomingBody(c.req.raw, unproved.open(addressOf(c.req.header('cf-connecting-ip'))));
    c.set('notes', { reference: crypto.randomUUID() });
    c.set('body', body);
    try {
      await next();
    } finally {
      body.admit(); // answered: nothing of it is held any more
    }
  };
}
