/** What every undo needs: the secrets that its files name, and a way to the database. Loads the way that is asked for, and no other. */
import type { Deployment } from '../domain/deployment.ts';
import type { SecretValues } from '../domain/parameters.ts';
import { Problem } from '../domain/problem.ts';
import type { UndoPlan } from '../domain/undo_plan.ts';
import type { Address } from './address.ts';
import type { Watch } from './conduct.ts';
import type { UndoWish } from './direct.ts';
import { listed } from './undo_plan.ts';

/** Takes a deployment back. @param key the same key is the same undo */
export async function sendUndo(address: Address, watch: Watch, wish: UndoWish, key: string): Promise<Deployment> {
  if (address.kind === 'database') return (await import('./direct.ts')).undoStraight({ address, ...watch }, wish, key);
  return (await import('./remote.ts')).undoThroughWorker({ address, ...watch }, wish, key);
}

/** Before anything is opened. @param command that gives them @throws Problem undo_secrets_missing */
export function checkSecrets(
  { deployment, secrets: needed = [] }: Pick<UndoPlan, 'deployment' | 'secrets'>,
  given: SecretValues | null,
  command: string,
): void {
  const lacking = needed.filter(({ name }) => given === null || !Object.hasOwn(given, name));
  if (lacking.length === 0) return;
  const what = lacking.map(({ name, paths }) => `"${name}", which is named in ${listed(paths)}`).join(' and ');
  throw new Problem(
    'undo_secrets_missing',
    `The undo of deployment ${deployment} lacks the secret ${what}. Secrets are kept nowhere, so give it again: ${command} --set ${lacking[0]?.name}=@FILE. Nothing was undone.`,
    { deployment, parameters: lacking.map(({ name }) => name) },
  );
}
