/**
 * How often somebody may ask: an address before anything is proved, a caller once it is. This keeps strangers from making the Worker
 * compute, and a runaway caller from opening one session after the other. Who counts, and how exactly, is up to the Worker.
 */
import type { MiddlewareHandler } from 'hono';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import type { HttpContext, HttpEnv } from './context.ts';

/** Counted apart: all users of a forge send their webhooks from the same few addresses, and the forge sends none again that was refused. */
export type Door = 'api' | 'webhooks';

/** None of them rejects. */
export interface Rates {
  /** @param address as Cloudflare says who asks @param door the API without it @returns false when it has come too often */
  admitAddress(address: string, door?: Door): Promise<boolean>;
  /** What came from there was not proved, or could not even be read. */
  noteRefusal(address: string, door?: Door): void;
  /** @returns false when this caller, who is proved, has come too often */
  admitCaller(caller: string): Promise<boolean>;
}

/** Refusals that say nothing of who asks; a grant is asked only of who is proved, and a token that is good may lack one. */
const NOT_COUNTED: readonly number[] = [403, 404, 405, 429];

/** Before a route: nothing of the body has been read, and nothing computed. */
export function limitStrangers(rates: Rates, door: Door): MiddlewareHandler<HttpEnv> {
  return async function limitStranger(c, next) {
    const address = addressOf(c.req.header('cf-connecting-ip'));
    if (address !== null && !(await rates.admitAddress(address, door))) {
      throw tooMany('Too much came from your address that could not be proved, or too much altogether. Nothing of this request was looked at.');
    }
    await next();
    if (address !== null && isRefusalOfStranger(c)) rates.noteRefusal(address, door);
  };
}

/** What cannot be read is no better than what cannot be proved; nor is a body that breaks off. What the Worker itself fails at is not held against anybody. */
function isRefusalOfStranger(c: HttpContext): boolean {
  const { caller, problem } = c.var.notes;
  const { status } = c.res;
  return caller === undefined && ((status >= 400 && status < 500 && !NOT_COUNTED.includes(status)) || problem === 'interrupted');
}

/** Who asks is proved. */
export function noteCaller(c: HttpContext, caller: string): void {
  c.var.notes.caller = caller;
  c.var.body.admit();
}

/** Of a caller who is proved from here on. @throws Problem too_many_requests; no session has been opened by then */
export async function requireRate(c: HttpContext, rates: Rates, caller: string): Promise<void> {
  noteCaller(c, caller);
  if (!(await rates.admitCaller(caller))) throw tooMany(`The caller "${caller}" asks too often. No database was asked.`);
}

function tooMany(what: string): Problem {
  return new Problem('too_many_requests', `${what} Wait a minute.`, { retry_after_seconds: LIMITS.rate_seconds });
}

/**
 * Whoever has an address of IPv6 has a whole network of them: its first 64 bits count.
 * @param text the header that Cloudflare sets, whatever the client has sent; it is missing where Weft runs behind somebody else
 * @returns null where nobody says who asks, and for this machine itself
 */
export function addressOf(text: string | undefined): string | null {
  if (text === undefined || !/^[0-9A-Fa-f.:]{2,45}$/.test(text) || text === '127.0.0.1' || text === '::1') return null;
  if (!text.includes(':')) return text;
  const [head = '', tail] = text.toLowerCase().split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const all = tail === undefined ? groups : [...groups, ...Array<string>(Math.max(0, 8 - groups.length - rest.length)).fill('0'), ...rest];
  return `${all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}
