/**
 * Continues a deployment, or whatever is unfinished in a database. The engine is brought up to date first, so that a deployment opened
 * before an upgrade finishes after it.
 */
import { ensureEngine, type Run, readDeployments, readStatus } from '../database/engine.ts';
import type { Deployment } from '../domain/deployment.ts';
import type { SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import { answerOf, type Errand, Patience, persist } from './errand.ts';
import { runToEnd, sendCall } from './run.ts';

export interface ResumeOptions extends Errand {
  /** Null: whatever is unfinished. */
  readonly id: string | null;
  /** The name of the target; null straight to a database. */
  readonly target: string | null;
  /** Who asks, for the record; without it, the role of the session. */
  readonly caller?: string | undefined;
  /** Whose deployments may be run; without it, everybody's. */
  readonly callers?: readonly string[] | undefined;
  /** Values of its secret parameters. */
  readonly secrets?: SecretValues | null | undefined;
  /** Holds the secrets to what the deployment was opened with; throws a Problem when they are others. Asked only when there are any. */
  readonly proveSecrets?: ((deployment: Deployment) => Promise<void>) | undefined;
}

/**
 * @returns the deployment as it ended, or as it is when the deadline passes; without an id, the newest one
 * @throws Problem deployment_not_found, deployment_not_staged, engine_missing, interrupted, secrets_missing, what `proveSecrets` throws, and what makes the session unfit
 */
export async function resume(options: ResumeOptions): Promise<Deployment> {
  const { id, target, callers = null, secrets = null, proveSecrets } = options;
  const run: Run = { id, target, callers, secrets, reopen: id === null ? undefined : { key: crypto.randomUUID(), caller: options.caller ?? null } };
  const patience = new Patience(options);
  const call = await persist(options, patience, async (session) => {
    const { server } = await answerOf(session, ensureEngine(session), patience);
    if (id !== null && secrets !== null) await proveSecrets?.(await answerOf(session, readStatus(session, id), patience));
    return sendCall(session, run, server.backend);
  });
  const deployment = await runToEnd(options, patience, run, call);
  if (deployment !== null) return deployment;
  const [newest] = await persist(options, patience, async (session) => {
    const deployments = await answerOf(session, readDeployments(session, 1), patience);
    await session.close();
    return deployments;
  });
  if (newest === undefined) throw new Problem('deployment_not_found', 'There is no deployment in this database. Nothing was changed.');
  return newest;
}
