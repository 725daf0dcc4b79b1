/**
 * Watches a CALL from a second session: the first one is silent until the CALL ends, and a network that swallows everything
 * looks just the same. The watcher shows progress, and says when there is no use in waiting on.
 */
import { readStatus } from '../database/engine.ts';
import type { Session } from '../database/session.ts';
import { isOver } from '../domain/deployment.ts';
import { type Errand, sleep } from './errand.ts';

/** Most CALLs are over before anybody needs a second session. */
const watch_after_milliseconds = 1_000;
const look_every_milliseconds = 500;
/** Looks in a row that find the deployment over, or nobody at work on it, while no answer has come to the CALL. */
const lost_after_looks_count = 6;

/**
 * @param call what the first session waits for
 * @returns true when the answer to the call will not come any more; false when it has come
 */
export async function watchCall(errand: Errand, id: string, call: Promise<unknown>): Promise<boolean> {
  const stop = new AbortController();
  const answered = call.then(
    () => stop.abort(),
    () => stop.abort(),
  );
  const watcher = watch(errand, id, stop.signal).catch(() => false);
  const lost = await Promise.race([watcher, answered.then(() => false), endOf(errand, stop.signal)]);
  stop.abort();
  return lost;
}

async function watch(errand: Errand, id: string, signal: AbortSignal): Promise<boolean> {
  await sleep(watch_after_milliseconds, signal);
  let session: Session | null = null;
  let fruitless = 0;
  try {
    while (!signal.aborted) {
      try {
        session ??= await errand.connect();
        const deployment = await readStatus(session, id);
        if (signal.aborted) return false;
        errand.onStatus?.(deployment);
        // while it is open its artifacts are still on their way, and the CALL behind them
        const nobodyThere = deployment.state !== 'open' && deployment.live === null && deployment.ahead.length === 0;
        fruitless = isOver(deployment.state) || nobodyThere ? fruitless + 1 : 0;
        if (fruitless >= lost_after_looks_count) return true;
      } catch {
        // a watcher that cannot look changes nothing: it tries again
        await session?.close();
        session = null;
      }
      await sleep(look_every_milliseconds, signal);
    }
    return false;
  } finally {
    await session?.close();
  }
}

/** Resolves when the errand's own time is over or its signal fires: then nobody waits for the call any more. */
async function endOf(errand: Errand, stop: AbortSignal): Promise<boolean> {
  await sleep(errand.deadlineMs, errand.signal === undefined ? stop : AbortSignal.any([stop, errand.signal]));
  return !stop.aborted;
}
