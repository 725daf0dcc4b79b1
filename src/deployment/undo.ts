/**
 * Takes a deployment back. What there is to run came with it and is in the database, so only the request is sent; from there on an undo
 * is a deployment like any other.
 */
import { ensureEngine, openUndo } from '../database/engine.ts';
import { isUnapproved } from '../domain/approval.ts';
import type { Deployment } from '../domain/deployment.ts';
import { secretsMissing } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import type { Opened, Order } from './deploy.ts';
import { answerOf, type Errand, Patience, persist } from './errand.ts';
import { runToEnd, sendCall } from './run.ts';
import { sampleWaits } from './sample.ts';

export interface UndoOptions extends Errand {
  /** The signed bytes say which deployment, and whether what has no undo may stay. */
  readonly order: Omit<Order, 'manifest'>;
  /** Called once it is opened: it has its place in line then. */
  readonly onOpened?: ((opened: Opened) => void) | undefined;
  /** Whose deployments may be run ahead of this one; without it, everybody's. */
  readonly callers?: readonly string[] | undefined;
}

/**
 * @returns the deployment that undoes, as it ended, or as it is when the deadline passes, or when it waits for its approval
 * @throws Problem nothing_to_undo, undo_out_of_order, undo_missing, deployment_not_found, id_conflict, invalid_parameters, secrets_missing, and what
 * makes the session unfit
 */
export async function undo(options: UndoOptions): Promise<Deployment> {
  const { order, callers = null, onOpened } = options;
  const patience = new Patience(options);
  const signature = order.signature === null ? null : { ...order.signature };
  // The same request twice is one deployment: so it can be tried again.
  const begun = await persist(options, patience, async (session) => {
    const { server } = await answerOf(session, ensureEngine(session), patience);
    const found = await answerOf(session, openUndo(session, { ...order, signature }, server.backend), patience);
    // The running CALL has them already.
    if (found.lacking.length > 0 && found.state !== 'running' && !isUnapproved(found)) throw secretsMissing(found.lacking, found.id);
    onOpened?.({ id: found.id, state: found.state, repeated: found.repeated, missing: [], warning: server.warning, approval: found.approval });
    const run = { id: found.id, target: order.target, callers, secrets: order.secrets };
    return { run, call: sendCall(session, run, found.backend) };
  });
  const stopSampling = order.mode === 'rehearse' ? sampleWaits(options.connect, begun.run.id) : null;
  const deployment = await runToEnd(options, patience, begun.run, begun.call).finally(() => stopSampling?.());
  if (deployment !== null) return deployment;
  throw new Problem('internal', `The engine said nothing of deployment ${begun.run.id}. \`weft status\` shows what the database knows.`);
}
