/** What is said while a database does not answer because a commit in it waits, for a standby that is gone, say. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connect } from '../database/session.ts';
import { isCommitHeld } from '../deployment/held.ts';
import { HELD_BY_STANDBY } from '../words/waits.ts';

const LOOK_AFTER_MS = 4000;
const LOOK_EVERY_MS = 15_000;

/**
 * Looks once in a while until it has told that.
 * @returns what ends the looking
 */
export function tellWhenHeld(connect: Connect, tell: (words: string) => void): () => void {
  let isOver = false;
  let timer = setTimeout(() => void look(), LOOK_AFTER_MS);
  const look = async (): Promise<void> => {
    if (await isCommitHeld(connect, sleep)) {
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
