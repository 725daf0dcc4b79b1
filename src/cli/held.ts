/** What is said while a database does not answer because a commit in it waits, for a standby that is gone, say. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connect } from '../database/session.ts';
import { readWaitingCommits } from '../database/standbys.ts';

const LOOK_AFTER_MS = 4000;
const LOOK_EVERY_MS = 15_000;
/** What waits no longer than that waits as each commit does. */
const WAIT_MS = 1000;

export const HELD_BY_STANDBY =
  'A commit in this database waits for a synchronous standby that does not confirm it (wait event SyncRep): until then it gives no answer, and nobody sees what it has written. Bring the standby back; or, as an administrator, take it out of synchronous_standby_names and reload the configuration. Then it goes on by itself.';

/**
 * Looks once in a while, from a session of its own, until it has told that.
 * @returns what ends the looking
 */
export function tellWhenHeld(connect: Connect, tell: (words: string) => void): () => void {
  let isOver = false;
  let timer = setTimeout(() => void look(), LOOK_AFTER_MS);
  const look = async (): Promise<void> => {
    if (await isHeld(connect)) {
      if (!isOver) tell(HELD_BY_STANDBY);
    } else if (!isOver) {
      timer = setTimeout(() => void look(), LOOK_EVERY_MS);
    }
  };
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

/** Who cannot look has nothing to tell. */
async function isHeld(connect: Connect): Promise<boolean> {
  try {
    const session = await connect();
    try {
      const before = await readWaitingCommits(session);
      if (before.length === 0) return false;
      await sleep(WAIT_MS);
      const after = await readWaitingCommits(session);
      return before.some((id) => after.includes(id));
    } finally {
      await session.close();
    }
  } catch {
    return false;
  }
}
