/** Who waits for a commit that waits for a standby is told so, instead of hearing nothing. */
import { LIMITS } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import { HELD_BY_STANDBY } from '../words/waits.ts';
import type { HttpContext } from './context.ts';
import type { Ports } from './ports.ts';
import { findTarget } from './targets.ts';

/**
 * Looks from time to time why an answer does not come. What it waits for goes on, whatever comes of that.
 * @param answer what was committed, or the error about it
 * @throws Problem commit_held; what `answer` throws
 */
export async function orHeld<T>(c: HttpContext, ports: Ports, target: string, answer: Promise<T>): Promise<T> {
  const answered = new AbortController();
  const done = answer.finally(() => answered.abort());
  const refused = refuseWhenHeld(ports, target, answered.signal).catch((problem: unknown) => {
    c.executionCtx.waitUntil(done.catch(() => undefined));
    throw problem;
  });
  return Promise.race([done, refused.then(() => done)]);
}

async function refuseWhenHeld(ports: Ports, target: string, answered: AbortSignal): Promise<void> {
  const connect = ports.connect(findTarget(ports, target), 'read');
  for (;;) {
    await ports.sleep(LIMITS.commit_look_milliseconds, answered);
    if (answered.aborted) return;
    if ((await ports.isCommitHeld(target, connect)) && !answered.aborted)
      throw new Problem('commit_held', `${HELD_BY_STANDBY} The request has arrived and is not lost: send it again to learn what became of it.`);
  }
}
