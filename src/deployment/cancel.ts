/**
 * Cancels a deployment, and waits until that is done: the runner sees the request between two statements, or is interrupted in one. If a
 * statement was handed out and nobody is running it any more, this makes the CALL that cleans up after it. The engine drops what is
 * half-made, and waits for whoever holds it; this does not.
 */
import { inspectServer, readStatus, requestCancel } from '../database/engine.ts';
import type { Connect } from '../database/session.ts';
import { type Deployment, isOver } from '../domain/deployment.ts';
import { Problem } from '../domain/problem.ts';
import { answerOf, Patience } from './errand.ts';
import { runToEnd, sendCall } from './run.ts';

export interface CancelOptions {
  readonly connect: Connect;
  readonly id: string;
  /** Who asks, for the record. Null: the role of the session. */
  readonly caller: string | null;
  readonly target: string | null;
  /** Called with every look. */
  readonly onStatus?: ((deployment: Deployment) => void) | undefined;
  /** How long to wait, in milliseconds; ten seconds without it. */
  readonly deadlineMs?: number | undefined;
}

const wait_milliseconds_max = 10_000;
const look_every_milliseconds = 200;
const last_look_milliseconds_max = 5_000;

/**
 * @returns the deployment: cancelled; or as it had ended before; or still running when the runner has not come to the end of
 * its statement, or of cleaning up after it, in time (the request stays, and the runner will find it)
 * @throws Problem deployment_not_found, engine_missing, session_lost
 */
export async function cancel({ connect, id, caller, target, onStatus, deadlineMs = wait_milliseconds_max }: CancelOptions): Promise<Deployment> {
  const session = await connect();
  const patience = new Patience({ deadlineMs });
  try {
    for (;;) {
      // Repeated, because if the runner died of the signal, the next request ends the deployment by itself.
      const deployment = await answerOf(session, requestCancel(session, id, caller), lookingOnce());
      if (isOver(deployment.state) || patience.isOver) return deployment;
      onStatus?.(deployment);
      if (deployment.state === 'running' && deployment.live === null) {
        const { backend } = await answerOf(session, inspectServer(session), lookingOnce());
        const run = { id, target, callers: [] };
        const cleared = runToEnd({ connect, deadlineMs, onStatus }, patience, run, sendCall(session, run, backend));
        const end = (await cleared.catch(exceptOfUnknownHolder)) ?? deployment;
        return isOver(end.state) ? end : await lookAgain(connect, id);
      }
      await patience.rest(look_every_milliseconds);
    }
  } finally {
    await session.close();
  }
}

/** For one query, which does not end with the waiting: the last answer tells what it waits for. */
function lookingOnce(): Patience {
  return new Patience({ deadlineMs: last_look_milliseconds_max });
}

/** The runner that cleans up has handed a statement to the server: only another session can see who is running. */
async function lookAgain(connect: Connect, id: string): Promise<Deployment> {
  const session = await connect();
  try {
    return await answerOf(session, readStatus(session, id), lookingOnce());
  } finally {
    await session.close();
  }
}

/** A session that we may not look at may be running, and then finds the request. */
function exceptOfUnknownHolder(error: unknown): null {
  if (error instanceof Problem && error.slug === 'holder_unknown') return null;
  throw error;
}
