/**
 * Goes on with a deployment, or with whatever is unfinished in a database. The engine is brought up to date first, so that a
 * deployment opened before an upgrade finishes after it.
 */
import { ensureEngine, readDeployments } from '../database/engine.ts';
import type { Session } from '../database/session.ts';
import type { Deployment } from '../domain/deployment.ts';
import { Problem } from '../domain/problem.ts';
import type { Errand } from './errand.ts';
import { runToEnd } from './run.ts';

export interface ResumeOptions extends Errand {
  /** Null: whatever is unfinished. */
  readonly id: string | null;
  /** The name of the target; null straight to a database. */
  readonly target: string | null;
}

/**
 * @returns the deployment as it ended, or as it is when the deadline passes; without an id, the newest one
 * @throws Problem deployment_not_found, deployment_not_staged, engine_missing, interrupted, and what makes the session unfit
 */
export async function resume(options: ResumeOptions): Promise<Deployment> {
  await onceConnected(options, ensureEngine);
  const deployment = await runToEnd(options, options.id, options.target);
  if (deployment !== null) return deployment;
  const [newest] = await onceConnected(options, (session) => readDeployments(session, 1));
  if (newest === undefined) throw new Problem('deployment_not_found', 'There is no deployment in this database. Nothing was changed.');
  return newest;
}

async function onceConnected<T>({ connect }: Errand, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await connect();
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}
