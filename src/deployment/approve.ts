/**
 * Approves a deployment that waits for a second person, and has it run: the approver is the trigger. The approval is committed before
 * anything else is asked, so what goes wrong afterwards is the deployment's business, and no reason to approve it again.
 */
import { ensureEngine, type Run, readStatus } from '../database/engine.ts';
import { type ApprovalCall, approve as say } from '../database/words.ts';
import { lacksApproval } from '../domain/approval.ts';
import { type Deployment, isOver } from '../domain/deployment.ts';
import { Problem } from '../domain/problem.ts';
import { answerOf, type Errand, Patience, persist } from './errand.ts';
import { runToEnd, sendCall } from './run.ts';

export interface ApproveOptions extends Errand, ApprovalCall {
  /** The name of the target; null straight to a database. */
  readonly target: string | null;
  /** Whose deployments may be run ahead of it; without it, everybody's. */
  readonly callers?: readonly string[] | undefined;
  /** Throws a Problem when what waits may not start now, whoever approves it. Not asked of one that is approved already, or over. */
  readonly judge?: ((deployment: Deployment) => void) | undefined;
}

/**
 * @returns the deployment as it ended, or as it is when the deadline passes, some of its artifacts are missing, or it waits for its secrets
 * @throws Problem deployment_not_found, not_approved, own_approval, rehearsal_missing, engine_missing, what `judge` throws, and what makes the session unfit
 */
export async function approve(options: ApproveOptions): Promise<Deployment> {
  const { deployment: id, target, callers = null, judge, onStatus } = options;
  const run: Run = { id, target, callers };
  const patience = new Patience(options);
  const begun = await persist(options, patience, async (session) => {
    const { server } = await answerOf(session, ensureEngine(session), patience);
    const waiting = judge === undefined ? null : await answerOf(session, readStatus(session, id), patience);
    if (waiting !== null && lacksApproval(waiting)) judge?.(waiting);
    const deployment = await answerOf(session, say(session, options), patience);
    onStatus?.(deployment);
    if (deployment.state === 'open' || isOver(deployment.state)) {
      await session.close();
      return { deployment, call: null };
    }
    return { deployment, call: sendCall(session, run, server.backend) };
  });
  if (begun.call === null) return begun.deployment;
  let latest = begun.deployment;
  const errand = {
    ...options,
    onStatus: (deployment: Deployment) => {
      latest = deployment;
      onStatus?.(deployment);
    },
  };
  try {
    return (await runToEnd(errand, patience, run, begun.call)) ?? latest;
  } catch (error) {
    if (error instanceof Problem && error.slug === 'secrets_missing') return latest;
    throw error;
  }
}
