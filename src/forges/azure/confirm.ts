/**
 * Whether what a service hook of Azure DevOps said is still true. Nothing of what it sends is signed, so Azure DevOps has to confirm it
 * over its own API, asked with our own token, before any database is woken.
 */
import type { Change } from '../../domain/change.ts';
import type { Confirmed } from '../forge.ts';
import { confirmBranch } from '../heads.ts';
import type { AzureApi } from './api.ts';
import { isRunAnew } from './events.ts';

/** @throws Problem forge_unreachable, forge_refused */
export async function confirmChange(api: AzureApi, change: Change): Promise<Confirmed> {
  const { event, number, branch } = change;
  const repository = await api.repository(change);
  if (repository === null || repository.id !== change.repository.id) return { stale: `The repository ${change.repository.id} is not there any more.` };
  if (event === 'build' && number !== null) return confirmBuild(api, change, number);
  // A build may be of another project than its repository; nothing else may.
  if (change.repository.name !== `${repository.project.id}/${repository.id}`) return { stale: `The repository ${change.repository.id} is of another project.` };
  if (event === 'push') return confirmBranch(api, change, branch);
  if (event === 'pull_request' && number !== null) return confirmPullRequest(api, change, number);
  return { stale: `Nothing can be asked of an event "${event}".` };
}

async function confirmPullRequest(api: AzureApi, change: Change, number: number): Promise<Confirmed> {
  const found = await api.pullRequest(change, number);
  if (found === null || found.status !== 'active') return { stale: `The pull request !${number} is not open any more.` };
  if (found.repository.id !== change.repository.id) return { stale: `The pull request !${number} is of another repository.` };
  if (found.forkSource != null) return { stale: `The pull request !${number} comes from a fork.` };
  if (found.targetRefName !== `refs/heads/${change.branch}`) return { stale: `The pull request !${number} goes into "${found.targetRefName}" by now.` };
  const head = found.lastMergeSourceCommit?.commitId ?? 'none';
  if (head !== change.commit) return { stale: `The head of the pull request !${number} is ${head} by now.` };
  // That is its head when it was merged the last time for a look; the branch itself may be further.
  const source = await confirmBranch(api, change, found.sourceRefName.replace(/^refs\/heads\//, ''));
  // What is proposed for a branch does not come from it.
  return source.stale === null ? { branch: null, stale: null } : source;
}

async function confirmBuild(api: AzureApi, change: Change, number: number): Promise<Confirmed> {
  const found = await api.build(change, number);
  const isIt =
    found !== null &&
    found.status === 'completed' &&
    found.result === 'succeeded' &&
    found.sourceVersion === change.commit &&
    found.sourceBranch === `refs/heads/${change.branch}` &&
    String(found.definition.id) === change.workflow &&
    isRunAnew(found.reason) === (change.attempt !== null) &&
    found.repository.type === 'TfsGit' &&
    found.repository.id === change.repository.id;
  if (!isIt) return { stale: `The build ${number} is no success of this commit any more.` };
  return confirmBranch(api, change, change.branch);
}
