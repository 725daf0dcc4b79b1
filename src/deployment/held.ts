/** Whether a database does not answer because a commit in it waits, for a synchronous standby that is gone, say. */
import type { Connect } from '../database/session.ts';
import { readWaitingCommits } from '../database/standbys.ts';
import type { Live } from '../domain/deployment.ts';

/** What waits no longer than that waits as each commit does. */
const wait_milliseconds = 1000;

/**
 * Looks twice, from a session of its own.
 * @param sleep resolves after so many milliseconds
 * @returns whether one commit waited all the time; false too if nobody could look
 */
export async function isCommitHeld(connect: Connect, sleep: (milliseconds: number) => Promise<unknown>): Promise<boolean> {
  try {
    const session = await connect();
    try {
      const before = await readWaitingCommits(session);
      if (before.length === 0) return false;
      await sleep(wait_milliseconds);
      const after = await readWaitingCommits(session);
      return before.some((id) => after.includes(id));
    } finally {
      await session.close();
    }
  } catch {
    return false;
  }
}

/** The same of one deployment that is looked at again and again. */
export class Commits {
  #id: string | null = null;
  #sinceMs = 0;

  /** @returns whether its last commit has waited too long for a standby */
  areHeld(live: Live | null, nowMs: number): boolean {
    const id = live?.committing ?? null;
    if (id !== this.#id) this.#sinceMs = nowMs;
    this.#id = id;
    return id !== null && nowMs - this.#sinceMs > wait_milliseconds;
  }
}
