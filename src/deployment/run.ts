/**
 * Sends the CALL, and stays with the deployment until it is over: through lost connections, behind others in line, beside
 * another CALL that is at work already. A CALL is also how one attaches: it says at once who is there, and takes over from
 * whoever is gone.
 */
import { type RunResult, readRunResult, runMessage } from '../database/engine.ts';
import type { Reply, Session } from '../database/session.ts';
import { type Deployment, isOver } from '../domain/deployment.ts';
import { Problem } from '../domain/problem.ts';
import { type Errand, Patience, passes } from './errand.ts';
import { watchCall } from './watch.ts';

/** A CALL on its way: sent behind the staging, say, in the same breath. */
export interface CallOnItsWay {
  readonly session: Session;
  readonly reply: Promise<Reply | undefined>;
}

/**
 * @param id null: whatever is unfinished in the database
 * @param target the name of the target, as the driver gives it; null straight to a database
 * @param first a CALL that was sent already
 * @returns the deployment when it is over, was interrupted on the server, or when the deadline came; null when there was nothing to do
 * @throws Problem interrupted (nothing could be learnt before the deadline, or the signal fired), holder_unknown, and what the engine refuses
 */
export async function runToEnd(errand: Errand, id: string | null, target: string | null, first?: CallOnItsWay): Promise<Deployment | null> {
  const patience = new Patience(errand);
  let call = first;
  let known: Deployment | null = null;
  let trouble: unknown = null;
  for (;;) {
    try {
      call ??= await send(errand, id, target);
      const result = await answerOf(errand, id, call);
      trouble = null;
      if (result !== null) {
        known = result.deployment ?? known;
        if (known !== null) errand.onStatus?.(known);
        if (isEnd(result)) return known;
        trouble = result.attached?.holder === 'unknown' ? holderUnknown(result) : null;
      }
    } catch (error) {
      if (!passes(error) && !(error instanceof Problem && error.slug === 'interrupted' && !errand.signal?.aborted)) throw error;
      trouble = error;
    } finally {
      await call?.session.close();
      call = undefined;
    }
    patience.check();
    if (patience.isOver) {
      if (trouble !== null) throw trouble;
      if (known !== null) return known;
      throw new Problem(
        'interrupted',
        'The time was over before anything could be learnt of the deployment. `weft status` shows it, `weft resume` goes on with it.',
      );
    }
    await patience.pause();
  }
}

async function send(errand: Errand, id: string | null, target: string | null): Promise<CallOnItsWay> {
  const session = await errand.connect();
  return { session, reply: session.pipeline([runMessage(id, target, null)]).then((replies) => replies[0]) };
}

/** @returns null when there is no use in waiting for the answer any more */
async function answerOf(errand: Errand, id: string | null, call: CallOnItsWay): Promise<RunResult | null> {
  call.reply.catch(() => undefined);
  if (id !== null && (await watchCall(errand, id, call.reply))) return null;
  return readRunResult(await call.reply);
}

function isEnd(result: RunResult): boolean {
  if (result.interrupted) return true;
  if (result.attached !== null) return false;
  return result.deployment === null || isOver(result.deployment.state);
}

function holderUnknown(result: RunResult): Problem {
  return new Problem(
    'holder_unknown',
    `The lease is held by backend ${result.attached?.pid}, which belongs to a role that this one may not look at. Nothing was changed. Grant pg_read_all_stats to this role, or deploy as the other.`,
  );
}
