/**
 * Retries until a deadline, for temporary problems: a lost connection, a compute that wakes, a Worker that restarts. That is safe
 * because whatever is tried here is one deployment, however often it is requested. What is tried is up to the caller.
 */
import { Problem } from '../domain/problem.ts';
import { duration } from '../words/text.ts';

/** Before the first answer: an address that never answers is probably wrong, and nobody should wait an hour to hear so. */
export const FIRST_CONTACT_MS = 60_000;

const PAUSE_MS_MIN = 250;
const PAUSE_MS_MAX = 15_000;
/** An attempt that lasted so long did get somewhere: the next pause is a short one again. */
const LASTING_MS = 20_000;

export interface Persistence {
  /** Milliseconds since 1970. */
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal;
  /** Whether the other side has answered at all. */
  readonly hasContact: () => boolean;
  /** Said before each pause. */
  readonly onPause: (words: string) => void;
}

/**
 * @param attempt what is tried
 * @returns what the first attempt that comes through returns
 * @throws Problem whatever does not pass by itself, at once; the last one, when the deadline comes; interrupted when the signal fires
 */
export async function persist<T>(attempt: () => Promise<T>, o: Persistence): Promise<T> {
  const contactBy = Date.now() + FIRST_CONTACT_MS;
  for (let failures = 0; ; ) {
    const begunMs = Date.now();
    try {
      return await attempt();
    } catch (error) {
      if (o.signal.aborted || !(error instanceof Problem) || !isPassing(error)) throw error;
      failures = Date.now() - begunMs >= LASTING_MS ? 1 : failures + 1;
      const pauseMs = pauseOf(failures, error);
      const until = o.hasContact() ? o.deadlineAtMs : Math.min(o.deadlineAtMs, contactBy);
      if (Date.now() + pauseMs >= until) throw error;
      o.onPause(`${error.title} Trying again in ${duration(pauseMs)}.`);
      await pause(pauseMs, o.signal);
    }
  }
}

/** Whether trying again makes sense: the 503s, except for what only a person can end, and having come too often. */
function isPassing(problem: Problem): boolean {
  return (problem.status === 503 && problem.slug !== 'holder_unknown' && problem.slug !== 'server_exhausted') || problem.slug === 'too_many_requests';
}

/** Doubling, and a random half of it, so that many callers do not come back at the same moment. */
function pauseOf(failures: number, problem: Problem): number {
  const asked = Number(problem.facts.retry_after_seconds ?? 0) * 1000;
  const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** (failures - 1));
  return Math.min(PAUSE_MS_MAX, Math.max(asked, pauseMs * (0.5 + Math.random() / 2)));
}

/** @throws Problem interrupted when the signal fires first */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  signal.throwIfAborted();
}
