/**
 * Which identity tokens were used, and for what: in the memory that wrangler.toml provides; if there is none, or it does not answer, in
 * this isolate alone. Whoever has a token that was forgotten could use it for another document until it expires: no more than that is
 * lost.
 */
import { LIMITS } from '../domain/limits.ts';
import { describeError, type LogEntry } from '../http/log.ts';
import type { TokenMemory } from '../http/ports.ts';
import type { TokenStore } from './bindings.ts';

export interface TokenMemoryOptions {
  readonly store: TokenStore | null;
  readonly log: (entry: LogEntry) => void;
  /** Milliseconds since 1970. */
  now(): number;
}

export function createTokenMemory({ store, log, now }: TokenMemoryOptions): TokenMemory {
  const here = new Map<string, { readonly digest: string; readonly expires: number }>();
  const claimHere = (token: string, digest: string, expires: number): boolean => {
    const known = here.get(token);
    // So long is a token taken: the clock of its issuer may be as far from this one.
    if (known !== undefined && (known.expires + LIMITS.identity_clock_seconds) * 1000 > now()) return known.digest === digest;
    here.delete(token);
    here.set(token, { digest, expires });
    if (here.size > LIMITS.identity_tokens_count_max) here.delete(here.keys().next().value as string); // the oldest
    return true;
  };
  return {
    async claim(token, digest, expires) {
      if (!claimHere(token, digest, expires)) return false;
      try {
        return (await store?.claimToken(token, digest, expires)) ?? true;
      } catch (error) {
        log({
          level: 'error',
          message: 'token_memory',
          what: 'The memory did not answer; this isolate alone remembers the token.',
          errors: describeError(error),
        });
        return true;
      }
    },
  };
}
