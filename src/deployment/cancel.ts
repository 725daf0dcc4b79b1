/**
 * Asks for the end of a deployment, and waits the moment until it has come: the runner sees the request between two statements,
 * or is woken out of one. Where a statement was handed out and nobody is at work any more, it makes the CALL that clears up behind it.
 */
import { inspectServer, requestCancel } from '../database/engine.ts';
import type { Connect } from '../database/session.ts';
import { type Deployment, isOver } from '../domain/deployment.ts';
import { Problem } from '../domain/problem.ts';
import { answerOf, Patience } from './errand.ts';
import { runToEnd, sendCall } from './run.ts';

export interface CancelOptions {
  readonly connect: Connect;
  readonly id: string;
  /** Who asks: it stands in the record. */
  readonly caller: string;
  readonly target: string | null;
}

const wait_milliseconds_max = 10_000;
const look_every_milliseconds = 200;

/**
 * @returns the deployment: cancelled; or as it had ended before; or still running when the runner has not come to the end of
 * its statement within ten seconds (the request stands, and the runner will find it)
 * @throws Problem deployment_not_found, engine_missing, session_lost
 */
export async function cancel({ connect, id, caller, target }: CancelOptions): Promise<Deployment> {
  const session = await connect();
  const patience = new Patience({ deadlineMs: wait_milliseconds_max });
  try {
    for (;;) {
      // Asked again and again: where the runner died of the signal, the next request ends the deployment by itself.
      const deployment = await answerOf(session, requestCancel(session, id, caller), patience);
      if (isOver(deployment.state) || patience.isOver) return deployment;
      if (deployment.state === 'running' && deployment.live === null) {
        const { backend } = await answerOf(session, inspectServer(session), patience);
        const run = { id, target, callers: [] };
        const cleared = runToEnd({ connect, deadlineMs: wait_milliseconds_max }, patience, run, sendCall(session, run, backend));
        return (await cleared.catch(exceptOfUnknownHolder)) ?? deployment;
      }
      await patience.rest(look_every_milliseconds);
    }
  } finally {
    await session.close();
  }
}

/** Whoever may not be looked at may be at work, and finds the request. */
function exceptOfUnknownHolder(error: unknown): null {
  if (error instanceof Problem && error.slug === 'holder_unknown') return null;
  throw error;
}
