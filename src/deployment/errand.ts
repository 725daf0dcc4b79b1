/**
 * What all drives share: how long, for whom to look, and when to stop looking. Nothing here touches a database.
 */
import type { Connect } from '../database/session.ts';
import type { Deployment } from '../domain/deployment.ts';
import { Problem } from '../domain/problem.ts';

export interface Errand {
  readonly connect: Connect;
  /** Called whenever more is known: what is running, how far, what it waits for. */
  readonly onStatus?: ((deployment: Deployment) => void) | undefined;
  /** How long to stay with it, in milliseconds. The deployment itself needs nobody. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

const pause_milliseconds_first = 200;
const pause_milliseconds_max = 2_000;

/** Pauses that grow, with jitter, so that those who wait do not come all at once. */
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

  /** Something has moved: wait shortly again. */
  reset(): void {
    this.#next = pause_milliseconds_first;
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
    const milliseconds = Math.min(this.#next * (0.5 + Math.random()), Math.max(0, this.#endAt - Date.now()));
    this.#next = Math.min(this.#next * 2, pause_milliseconds_max);
    await sleep(milliseconds, this.#signal);
    this.check();
  }
}

/** Resolves after so many milliseconds, or when the signal fires. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  await new Promise<void>((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, milliseconds);
    signal?.addEventListener('abort', finish, { once: true });
  });
}

/** What passes by itself: another try may find it gone. */
export function passes(error: unknown): boolean {
  return error instanceof Problem && (error.slug === 'session_lost' || error.slug === 'database_unreachable' || error.slug === 'no_free_connection');
}
