/** What is said while a database does not answer because a commit in it waits, for a standby that is gone, say. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connect } from '../database/session.ts';
import { readWaitingCommits } from '../database/standbys.ts';
import type { Deployment } from '../domain/deployment.ts';
import { HELD_BY_STANDBY } from '../words/waits.ts';

const LOOK_AFTER_MS = 4000;
const LOOK_EVERY_MS = 15_000;
/** What waits no longer than that waits as each commit does. */
const WAIT_MS = 1000;

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

/** The same of a deployment that is looked at again and again. */
export class Commits {
  #id: string | null = null;
  #sinceMs = 0;

  /** @returns why it does not go on, where its last commit has waited too long for a standby */
  judge({ live }: Deployment, nowMs: number): string | null {
    const id = live?.committing ?? null;
    if (id !== this.#id) this.#sinceMs = nowMs;
    this.#id = id;
    return id !== null && nowMs - this.#sinceMs > WAIT_MS ? HELD_BY_STANDBY : null;
  }
}
