/**
 * What is owed to a forge, as it is stored in the database beside the deployment: an errand that only the Worker can have written,
 * because it is proved by a secret of that forge's. Whoever comes next when the deployment is over takes it, reports to the forge, and
 * removes it.
 */
import { sha256 } from '../bundle/chunks.ts';
import type { OwedCall } from '../database/owed.ts';
import { type ForgeWork, forgeWorkSchema } from '../domain/change.ts';
import type { ForgeAtHand } from '../forges/forge.ts';
import { isErrandProved, proveErrand } from '../trust/errand_proof.ts';

/** One for each event and folder: what is told again is told in the same place. */
export function keyOfWork({ forge, folder, change }: ForgeWork): Promise<string> {
  const { event, repository, branch, environment, workflow, number } = change;
  return sha256(new TextEncoder().encode(JSON.stringify([forge, folder, event, repository.id, branch, environment, workflow, number])));
}

/** @param seconds in which nobody else should handle it */
export async function writeOwed(forge: ForgeAtHand, work: ForgeWork, seconds: number): Promise<OwedCall> {
  const errand = JSON.stringify({ ...work, deployment: null, account: null, looks: 0 } satisfies ForgeWork);
  return { key: await keyOfWork(work), errand, proof: await proveErrand(errand, work.target, forge.webhooks), seconds };
}

/** @returns null when nobody who knows a secret of its forge has written it for this target */
export async function readOwed(
  forges: ReadonlyMap<string, ForgeAtHand>,
  target: string,
  { errand, proof }: Pick<OwedCall, 'errand' | 'proof'>,
): Promise<ForgeWork | null> {
  const parsed = forgeWorkSchema.safeParse(parse(errand));
  const forge = parsed.success ? forges.get(parsed.data.forge) : undefined;
  if (!parsed.success || forge === undefined || parsed.data.target !== target) return null;
  return (await isErrandProved(errand, target, proof, forge.webhooks)) ? parsed.data : null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
