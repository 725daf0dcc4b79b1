/**
 * Whether what a delivery of GitLab's said is still true. An older webhook proves who sent it and no more, so GitLab says what is true.
 */
import type { Change } from '../../domain/change.ts';
import type { Confirmed } from '../forge.ts';
import { confirmBranch, confirmNewest } from '../heads.ts';
import type { GitLabApi } from './api.ts';
import { isRunAnew } from './events.ts';

/** @throws Problem forge_unreachable, forge_refused */
export async function confirmChange(api: GitLabApi, change: Change): Promise<Confirmed> {
  const { event, number, branch } = change;
  if (event === 'push') return confirmBranch(api, change, branch);
  if (event === 'merge_request' && number !== null) return confirmMergeRequest(api, change, number);
  if (event === 'pipeline' && number !== null) return confirmPipeline(api, change, number);
  if (event === 'deployment' && number !== null) return confirmDeployment(api, change, number);
  return { stale: `Nothing can be asked of an event "${event}".` };
}

async function confirmMergeRequest(api: GitLabApi, change: Change, number: number): Promise<Confirmed> {
  const found = await api.mergeRequest(change, number);
  if (found === null || found.state !== 'opened') return { stale: `The merge request !${number} is not open any more.` };
  if (String(found.source_project_id ?? '') !== change.repository.id) return { stale: `The merge request !${number} comes from a fork.` };
  if (found.target_branch !== change.branch) return { stale: `The merge request !${number} goes into "${found.target_branch}" by now.` };
  if (found.sha !== change.commit) return { stale: `The head of the merge request !${number} is ${found.sha ?? 'none'} by now.` };
  // What is proposed for a branch does not come from it.
  return { branch: null, stale: null };
}

async function confirmPipeline(api: GitLabApi, change: Change, number: number): Promise<Confirmed> {
  const found = await api.pipeline(change, number);
  const isIt =
    found !== null &&
    found.status === 'success' &&
    found.sha === change.commit &&
    found.ref === change.branch &&
    isRunAnew(found.source) === (change.attempt !== null);
  if (!isIt) return { stale: `The pipeline ${number} is no success of this commit any more.` };
  return confirmBranch(api, change, change.branch);
}

async function confirmDeployment(api: GitLabApi, change: Change, number: number): Promise<Confirmed> {
  const { environment, branch: ref } = change;
  const found = await api.deployment(change, number);
  if (found === null || environment === null || ref === null || found.sha !== change.commit || found.environment.name !== environment || found.ref !== ref)
    return { stale: `The deployment ${number} is not there any more, or is another one.` };
  if (found.deployable != null) return { stale: `The deployment ${number} belongs to a job of a pipeline.` };
  return confirmNewest(api, change, number, environment, ref);
}
