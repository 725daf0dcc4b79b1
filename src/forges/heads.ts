/**
 * What every forge is asked in the same way: whether a commit is still the head of a branch, and a deployment the newest of its
 * environment.
 */
import type { Change } from '../domain/change.ts';
import type { Confirmed } from './forge.ts';

/** The questions, as each forge's API answers them. */
export interface Heads {
  branchHead(change: Change, branch: string): Promise<string | null>;
  newestDeployment(change: Change, environment: string): Promise<{ readonly id: number } | null>;
}

/** @throws Problem forge_unreachable, forge_refused */
export async function confirmBranch(api: Pick<Heads, 'branchHead'>, change: Change, branch: string | null): Promise<Confirmed> {
  const head = branch === null ? null : await api.branchHead(change, branch);
  if (head === change.commit) return { branch, stale: null };
  return { stale: head === null ? `The branch "${branch}" is not there any more.` : `The head of "${branch}" is ${head} by now.` };
}

/**
 * What a deployment was asked for may be a branch, and then its head counts; a tag or a commit has none.
 * @param ref what may be a branch; null when it is none
 * @throws Problem forge_unreachable, forge_refused
 */
export async function confirmNewest(api: Heads, change: Change, number: number, environment: string, ref: string | null): Promise<Confirmed> {
  const newest = await api.newestDeployment(change, environment);
  if (newest?.id !== number) return { stale: `The newest deployment of the environment "${environment}" is ${newest?.id ?? 'none'} by now.` };
  const head = ref === null || ref === change.commit ? null : await api.branchHead(change, ref);
  if (head !== null && head !== change.commit) return { stale: `The head of "${ref}" is ${head} by now.` };
  return { branch: head === null ? null : ref, stale: null };
}
