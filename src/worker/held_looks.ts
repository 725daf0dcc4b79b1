/**
 * Looks whether a commit in a database is held, for all requests of this isolate that wait for an answer from it: one looks, and the others go by what
 * it has seen. A crowd that waits in front of a busy database would otherwise take connections from it just to see why it is busy.
 */
import type { Connect } from '../database/session.ts';
import { isCommitHeld } from '../deployment/held.ts';
import { LIMITS } from '../domain/limits.ts';

interface Look {
  readonly startedAt: number;
  /** Until it has ended: what the one before it has seen. */
  isHeld: boolean;
}

/**
 * Only facts are shared, no promises: in workerd, a request cannot wait for what another one has begun.
 * @param now milliseconds
 * @param sleep resolves after so many milliseconds
 * @returns whether a commit in the database of that target waits for a standby, as far as somebody has seen lately
 */
export function createHeldLooks(now: () => number, sleep: (milliseconds: number) => Promise<unknown>): (target: string, connect: Connect) => Promise<boolean> {
  const looks = new Map<string, Look>();
  return async (target, connect) => {
    const last = looks.get(target);
    const age = last === undefined ? Number.POSITIVE_INFINITY : now() - last.startedAt;
    if (last !== undefined && age < LIMITS.commit_look_milliseconds) return last.isHeld;
    const look: Look = { startedAt: now(), isHeld: age < 2 * LIMITS.commit_look_milliseconds && last?.isHeld === true };
    looks.set(target, look);
    look.isHeld = await isCommitHeld(connect, sleep);
    return look.isHeld;
  };
}
