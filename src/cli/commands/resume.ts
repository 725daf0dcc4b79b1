/** `weft resume` and `weft cancel`: what can be done with a deployment that is there already. */
import { type Deployment, isOver } from '../../domain/deployment.ts';
import { Problem } from '../../domain/problem.ts';
import { deploymentIdSchema } from '../../domain/request.ts';
import { requireAddress, type WorkerAddress } from '../address.ts';
import type { Call } from '../commands.ts';
import { conduct } from '../conduct.ts';
import { harmless } from '../text.ts';

export async function resume(call: Call): Promise<number> {
  const address = requireAddress(call);
  const id = readDeploymentId(call.positionals[0]);
  return conduct(call, null, async (watch) => {
    if (address.kind === 'database') return (await import('../direct.ts')).resumeStraight({ address, ...watch }, id);
    const { resumeThroughWorker } = await import('../remote.ts');
    return resumeThroughWorker({ address, ...watch }, id ?? (await findUnfinished(address, watch.signal)));
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
  // It was asked to be cancelled, and it is: that is success.
  return (ended as Deployment | null)?.state === 'cancelled' ? 0 : code;
}

/** @throws Problem usage when it is no id of a deployment */
export function readDeploymentId(text: string | undefined): string | null {
  if (text === undefined) return null;
  const parsed = deploymentIdSchema.safeParse(text.toLowerCase());
  if (!parsed.success)
    throw new Problem('usage', `"${harmless(text.slice(0, 80))}" is not the id of a deployment: ids are UUIDs. "weft status" lists the latest.`);
  return parsed.data;
}

/** The first in line of what is not over. */
async function findUnfinished(address: WorkerAddress, signal: AbortSignal): Promise<string> {
  if (address.caller === null) {
    throw new Problem(
      'usage',
      'Through a Worker, either name the deployment (weft resume ID), or say who reads (--caller NAME or WEFT_CALLER), so that it can be looked up.',
    );
  }
  const { readDeploymentsThroughWorker } = await import('../remote.ts');
  const waiting = (await readDeploymentsThroughWorker(address, signal)).filter(({ state, staged_at }) => !isOver(state) && staged_at !== null);
  const [first] = waiting.sort((a, b) => ((a.staged_at ?? '') < (b.staged_at ?? '') ? -1 : 1));
  if (first === undefined) throw new Problem('deployment_not_found', 'Nothing is unfinished on this target.');
  return first.id;
}
