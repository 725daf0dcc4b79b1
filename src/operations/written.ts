/** What is written down of a change: the id by which its request is known, what proves it, and what is reported about it. */
import { sha256 } from '../bundle/chunks.ts';
import type { Source } from '../config/forges.ts';
import type { Account, ForgeWork } from '../domain/change.ts';
import { LIMITS } from '../domain/limits.ts';
import type { ForgeAtHand } from '../forges/forge.ts';

/**
 * The same for everything that asks for the same: a webhook that comes twice, or two events of one commit, are one deployment. What is asked for
 * again (a deployment made anew, a workflow run again) is another one. That a branch was set back to where it was no webhook has to say: the database
 * knows where it has been since.
 */
export async function idOf(forge: ForgeAtHand, { repository_id, folder, target, mode, parameters }: Source, { change }: ForgeWork): Promise<string> {
  const given = Object.entries(parameters ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = [repository_id, change.commit, folder, target, mode, given, change.attempt];
  return `${forge.kind}-${await sha256(new TextEncoder().encode(JSON.stringify(parts)))}`;
}

/** Nobody has signed a request that the Worker has made for a webhook: what was signed is the webhook, by a secret of the forge's. */
export function proofOf(forge: ForgeAtHand, { change, folder, proof }: ForgeWork): Record<string, string> {
  const { event, repository, commit } = change;
  const of = { webhook_of: forge.kind, event, repository: repository.name, repository_id: repository.id, commit, folder: folder ?? '' };
  return { ...of, body_sha256: proof.delivery, signature: proof.signature };
}

/** Without secrets, and without where databases are. */
export function hideAccount({ hide }: { hide(text: string): string }, account: Account): Account {
  const remarks = account.remarks.map((remark) => ({ ...remark, message: hide(remark.message) }));
  return { ...account, title: hide(account.title), text: hide(account.text), remarks };
}

/** A message of the queue has 128 kB. */
export function cutToMessage(account: Account): Account {
  if (new TextEncoder().encode(JSON.stringify(account)).length <= LIMITS.forge_account_bytes) return account;
  const remarks = account.remarks.slice(0, 5).map((remark) => ({ ...remark, message: remark.message.slice(0, 1000) }));
  return { ...account, text: `${account.text.slice(0, LIMITS.forge_account_bytes / 5)}\n\n… cut here`, remarks };
}
