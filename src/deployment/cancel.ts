/**
 * Asks for the end of a deployment, and waits the moment until it has come: the runner sees the request between two statements,
 * or is woken out of one.
 */
import { requestCancel } from '../database/engine.ts';
import type { Connect } from '../database/session.ts';
import { type Deployment, isOver } from '../domain/deployment.ts';
import { answerOf, Patience } from './errand.ts';

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
export async function cancel({ connect, id, caller }: CancelOptions): Promise<Deployment> {
  const session = await connect();
  const patience = new Patience({ deadlineMs: wait_milliseconds_max });
  try {
    for (;;) {
      // Asked again and again: where the runner died of the signal, the next request ends the deployment by itself.
      const deployment = await answerOf(session, requestCancel(session, id, caller), patience);
      if (isOver(deployment.state) || patience.isOver) return deployment;
      await patience.rest(look_every_milliseconds);
    }
  } finally {
    await session.close();
  }
}
