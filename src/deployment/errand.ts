/**
 * What all drives share: how long, for whom to look, when to stop looking, and how long a silence is tolerated. Nothing here sends
 * anything to a database.
 */
import type { Connect, Session } from '../database/session.ts';
import type { Deployment } from '../domain/deployment.ts';
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';

export interface Errand {
  readonly connect: Connect;
  /** Called whenever more is known: what is running, how far, what it waits for. */
  readonly onStatus?: ((deployment: Deployment) => void) | undefined;
  /** Called before what passes by itself is tried again: a lost connection, say. */
  readonly onTrouble?: ((problem: Problem) => void) | undefined;
  /** How long to stay with it, in milliseconds. The deployment itself needs nobody. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** If true, the answer may be that another CALL is running, or that nothing can run now; otherwise, this stays until the deployment is over. */
  readonly isPassingBy?: boolean | undefined;
}

const pause_milliseconds_first = 200;
const pause_milliseconds_max = 2_000;
const glance_milliseconds = 1_000;
/** Beyond it a timer fires at once. */
const timer_milliseconds_max = 2 ** 31 - 1;

/** The time of an errand, and pauses that grow, with jitter, so that those who wait do not come all at once. */
export class Patience {
  readonly #endAt: number;
  readonly #signal: AbortSignal | undefined;
  #next = pause_milliseconds_first;

  constructor(errand: Pick<Errand, 'deadlineMs' | 'signal'>) {
    this.#endAt = Date.now() + errand.deadlineMs;
    this.#signal = errand.signal;
  }

  get isOver(): boolean {
    return Date.now() >= this.#endAt;
  }

  /** Whether its signal has fired, or its time is over. */
  get isExhausted(): boolean {
    return this.isOver || this.#signal?.aborted === true;
  }

  /** @throws Problem interrupted when the signal has fired */
  check(): void {
    if (this.#signal?.aborted) {
      throw new Problem(
        'interrupted',
        'Nobody follows the deployment any more. What the database was doing it goes on doing; `weft status` shows it, `weft resume` goes on with it.',
      );
    }
  }

  /** Waits a moment, not beyond the deadline. @throws Problem interrupted when the signal fires */
  async pause(): Promise<void> {
    this.check();
    const milliseconds = this.#next * (0.5 + Math.random());
    this.#next = Math.min(this.#next * 2, pause_milliseconds_max);
    await this.rest(milliseconds);
    this.check();
  }

  /** Waits this many milliseconds, or until the time is over or a signal fires. */
  async rest(milliseconds: number, stop?: AbortSignal): Promise<void> {
    const signals = [this.#signal, stop].filter((signal) => signal !== undefined);
    await sleep(Math.min(milliseconds, Math.max(0, this.#endAt - Date.now())), signals.length > 1 ? AbortSignal.any(signals) : signals[0]);
  }
}

/**
 * Waits for what a session was asked, as long as its silence can be borne; then gives the session up.
 * @param owedSince since when the other side owes an answer, in milliseconds since 1970; null while it owes none. Without it: since now
 * @param silence_milliseconds_max how long it may
 * @throws Problem session_lost for a silence; interrupted when the errand's time is over or its signal fires; whatever `work` throws
 */
export async function answerOf<T>(
  session: Session,
  work: Promise<T>,
  patience: Patience,
  owedSince: () => number | null = since(Date.now()),
  silence_milliseconds_max = LIMITS.silence_seconds_max * 1000,
): Promise<T> {
  const stop = new AbortController();
  const settled = work.then(
    () => stop.abort(),
    () => stop.abort(),
  );
  const silence = () => Date.now() - (owedSince() ?? Date.now());
  while (!stop.signal.aborted && !patience.isExhausted && silence() < silence_milliseconds_max) {
    await Promise.race([settled, patience.rest(Math.min(glance_milliseconds, silence_milliseconds_max - silence()), stop.signal)]);
  }
  if (stop.signal.aborted) return work;
  const isSilent = !patience.isExhausted;
  await session.close();
  patience.check();
  if (isSilent) {
    throw new Problem(
      'session_lost',
      `The database has not answered for ${Math.round(silence_milliseconds_max / 1000)} s, and the connection was given up. What was committed stays, and nothing needs to be cleaned up: connect again and look.`,
    );
  }
  throw timeOver();
}

/**
 * Waits for what no session is needed for, until the errand's time is over.
 * @throws Problem interrupted when it is, or its signal fires; whatever `work` throws
 */
export async function inTime<T>(work: Promise<T>, patience: Patience): Promise<T> {
  const stop = new AbortController();
  const settled = work.then(
    () => stop.abort(),
    () => stop.abort(),
  );
  await Promise.race([settled, patience.rest(Number.POSITIVE_INFINITY, stop.signal)]);
  if (stop.signal.aborted) return work;
  patience.check();
  throw timeOver();
}

function since(milliseconds: number): () => number {
  return () => milliseconds;
}

const time_is_over = new Error('the time of the errand is over');

export function timeOver(): Problem {
  const words = 'The time was over before anything could be learnt of the deployment. `weft status` shows it, `weft resume` goes on with it.';
  return new Problem('interrupted', words, {}, time_is_over);
}

/** Whether that is all there is to say: whoever knows more of the errand says it better. */
export function isTimeOver(error: unknown): boolean {
  return error instanceof Problem && error.cause === time_is_over;
}

/** Resolves after this many milliseconds, or when the signal fires. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  await new Promise<void>((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, Math.min(milliseconds, timer_milliseconds_max));
    signal?.addEventListener('abort', finish, { once: true });
  });
}

/** What passes by itself: another try may find it gone. */
export function passes(error: unknown): error is Problem {
  return error instanceof Problem && (error.slug === 'session_lost' || error.slug === 'database_unreachable' || error.slug === 'no_free_connection');
}

/** Whoever gets a session from `work` closes it in the end; when `work` fails nobody would. */
export async function closingOnError<T>(session: Session, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await session.close();
    throw error;
  }
}

/**
 * Tries until it succeeds: what passes by itself is tried again until the errand's time is over. Not so a first connect that fails:
 * it has been tried long enough, and the address may be wrong.
 * @param attempt what is tried, with a new session, which is closed when it fails
 * @throws whatever does not pass, the last of what does, and Problem interrupted when the signal fires
 */
export async function persist<T>({ connect, onTrouble }: Errand, patience: Patience, attempt: (session: Session) => Promise<T>): Promise<T> {
  let hasContact = false;
  for (;;) {
    try {
      const session = await connect();
      hasContact = true;
      return await closingOnError(session, () => attempt(session));
    } catch (error) {
      if (!hasContact || !passes(error) || patience.isOver) throw error;
      onTrouble?.(error);
      await patience.pause();
    }
  }
}
