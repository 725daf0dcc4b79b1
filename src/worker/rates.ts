/**
 * How often somebody may ask, counted by Cloudflare if wrangler.toml has its rate limiting (approximately, and separately at each of
 * its locations), and in any case by this isolate alone: a stranger's refusals, a caller's requests. Neither is an access control; what
 * may be done is decided by proofs alone.
 */
import { LIMITS } from '../domain/limits.ts';
import { describeError, type LogEntry } from '../http/log.ts';
import type { Rates } from '../http/rates.ts';

/** Cloudflare's binding. */
export interface RateLimit {
  limit(o: { key: string }): Promise<{ success: boolean }>;
}

export interface RatesOptions {
  /** `WEFT_STRANGERS` and `WEFT_CALLERS`; null where there is none. */
  readonly strangers: RateLimit | null;
  readonly callers: RateLimit | null;
  readonly log: (entry: LogEntry) => void;
  /** Milliseconds since 1970. */
  now(): number;
}

/** @param env the bindings of wrangler.toml */
export function readRateLimits(env: Record<string, unknown>): Pick<RatesOptions, 'strangers' | 'callers'> {
  return { strangers: (env.WEFT_STRANGERS as RateLimit | undefined) ?? null, callers: (env.WEFT_CALLERS as RateLimit | undefined) ?? null };
}

export function createRates({ strangers, callers, log, now }: RatesOptions): Rates {
  const refusals = {
    api: new Counter(LIMITS.address_refusals_count_max, now),
    webhooks: new Counter(LIMITS.address_webhooks_refused_count_max, now),
  };
  const requests = new Counter(LIMITS.caller_requests_count_max, now);
  const ask = async (limit: RateLimit | null, key: string): Promise<boolean> => {
    try {
      return limit === null || (await limit.limit({ key })).success;
    } catch (error) {
      log({ level: 'error', message: 'rates', what: 'The rate limiting did not answer; whoever comes is let in.', errors: describeError(error) });
      return true;
    }
  };
  return {
    admitAddress: async (address, door = 'api') => !refusals[door].isFull(address) && ask(strangers, door === 'api' ? address : `${door} ${address}`),
    noteRefusal: (address, door = 'api') => refusals[door].add(address),
    async admitCaller(caller) {
      if (requests.isFull(caller)) return false;
      requests.add(caller);
      return ask(callers, caller);
    },
  };
}

/** Counts by name, from minute to minute. */
class Counter {
  readonly #most: number;
  readonly #now: () => number;
  readonly #counts = new Map<string, { count: number; readonly until: number }>();

  constructor(most: number, now: () => number) {
    this.#most = most;
    this.#now = now;
  }

  isFull(key: string): boolean {
    const entry = this.#counts.get(key);
    return entry !== undefined && entry.until > this.#now() && entry.count >= this.#most;
  }

  add(key: string): void {
    const entry = this.#counts.get(key);
    if (entry !== undefined && entry.until > this.#now()) {
      entry.count += 1;
      return;
    }
    this.#counts.delete(key);
    this.#counts.set(key, { count: 1, until: this.#now() + LIMITS.rate_seconds * 1000 });
    // The oldest goes first: its minute is over soonest.
    if (this.#counts.size > LIMITS.rate_keys_count_max) this.#counts.delete(this.#counts.keys().next().value as string);
  }
}
