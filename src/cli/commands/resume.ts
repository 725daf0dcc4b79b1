/** `weft resume` and `weft cancel`: what can be done with a deployment that is there already. */
import { type Deployment, isOver } from '../../domain/deployment.ts';
import { Problem } from '../../domain/problem.ts';
import { type Address, readDeploymentId, requireAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct } from '../conduct.ts';
import { readDeployments } from '../readings.ts';

export async function resume(call: Call): Promise<number> {
  const address = requireAddress(call);
  const id = readDeploymentId(call.positionals[0]);
  return conduct(call, null, async (watch) => {
    const wanted = id ?? (await findUnfinished(address, watch.signal));
    if (address.kind === 'database') return (await import('../direct.ts')).resumeStraight({ address, ...watch }, wanted);
    return (await import('../remote.ts')).resumeThroughWorker({ address, ...watch }, wanted);
  });
}

export async function cancel(call: Call): Promise<number> {
  const address = requireAddress(call);
  const id = readDeploymentId(call.positionals[0]) as string;
  let ended: Deployment | null = null;
  const code = await conduct(call, null, async (watch) => {
    ended =
      address.kind === 'database'
        ? await (await import('../direct.ts')).cancelStraight({ address, ...watch }, id)
        : await (await import('../remote.ts')).cancelThroughWorker({ address, ...watch }, id);
    return ended;
  });
  // Cancelled is what was asked for. What had ended otherwise was not cancelled, however well it ended.
  const { state } = ended as unknown as Deployment;
  if (state === 'cancelled') return 0;
  if (isOver(state)) call.printer.note('It had ended before it could be cancelled.');
  return code === 0 ? 1 : code;
}

/**
 * The last in line of what is not over: to resume it is to finish what stands before it, too. The newest of all when nothing is
 * unfinished: somebody else may have finished it, and how it ended is what is asked.
 */
async function findUnfinished(address: Address, signal: AbortSignal): Promise<string> {
  if (address.kind === 'worker' && address.caller === null) {
    throw new Problem(
      'usage',
      'Through a Worker, either name the deployment (weft resume ID), or say who reads (--caller NAME or WEFT_CALLER), so that it can be looked up.',
    );
  }
  const deployments = await readDeployments(address, signal);
  const inLine = deployments.filter(({ state, staged_at }) => !isOver(state) && staged_at !== null);
  const [last] = [...inLine].sort((a, b) => Date.parse(b.staged_at ?? '') - Date.parse(a.staged_at ?? ''));
  const found = last ?? deployments[0];
  if (found === undefined) throw new Problem('deployment_not_found', 'There is no deployment in this database yet.');
  return found.id;
}
