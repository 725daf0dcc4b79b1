/**
 * Looks after a deployment whose request has had its answer: continues it if nobody is at work, and otherwise leaves at once. Unlike a
 * `resume`, nobody has asked for it: it installs no engine where there is none, and reopens nothing that is over.
 */
import { ensureEngine, type Run } from '../database/engine.ts';
import { isUnapproved } from '../domain/approval.ts';
import { type Deployment, isOver } from '../domain/deployment.ts';
import type { SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import { answerOf, type Errand, Patience, persist } from './errand.ts';
import { runToEnd, sendCall } from './run.ts';
import { look } from './watch.ts';

export interface AttendOptions extends Errand {
  /** Null: whatever is unfinished. */
  readonly id: string | null;
  readonly target: string;
  /** Whose deployments may be run. */
  readonly callers: readonly string[];
  /** Values of its secret parameters, where they are known. */
  readonly secrets?: SecretValues | null | undefined;
}

export interface Attended {
  /** Null when there is nothing unfinished. */
  readonly deployment: Deployment | null;
  /** Whether somebody is running it, or one of those before it in line. */
  readonly isAtWork: boolean;
}

/**
 * @returns the deployment as it ended, or as it is when somebody else is at work, nobody can go on with it, or the deadline passes
 * @throws Problem deployment_not_found, engine_missing, secrets_missing, holder_unknown, database_unreachable, and what makes the session unfit
 */
export async function attend(options: AttendOptions): Promise<Attended> {
  const { id, target, callers, secrets } = options;
  const run: Run = { id, target, callers, secrets };
  const patience = new Patience(options);
  const begun = await persist(options, patience, async (session) => {
    const sight = await look(session, id, patience).catch(async (error: unknown) => {
      if (!(error instanceof Problem && error.slug === 'engine_older')) throw error;
      await answerOf(session, ensureEngine(session), patience); // what an older Weft has opened, this one goes on with
      return look(session, id, patience);
    });
    if (id !== null && sight.deployment !== null && isOver(sight.deployment.state)) {
      await session.close();
      return { sight, call: null };
    }
    const { server } = await answerOf(session, ensureEngine(session), patience);
    return { sight, call: sendCall(session, run, server.backend) };
  });
  if (begun.call === null) return { deployment: begun.sight.deployment, isAtWork: false };
  const deployment = await runToEnd({ ...options, isPassingBy: true }, patience, run, begun.call);
  if (deployment === null || isOver(deployment.state) || isUnapproved(deployment)) return { deployment, isAtWork: false };
  return { deployment, isAtWork: deployment.live !== null || begun.sight.isAtWork };
}
