/**
 * Whether what a delivery said is still true. The signature of a delivery covers no time, so an old one, sent again by whoever has
 * captured it, is just as valid: it says something that was true once. GitHub says what is true now, before any database is woken.
 */
import type { Change } from '../../domain/change.ts';
import type { Confirmed } from '../forge.ts';
import { confirmBranch, confirmNewest } from '../heads.ts';
import type { GitHubApi, WaitingRun } from './api.ts';
import { fileOf, OWN_RUNS } from './events.ts';

/** @throws Problem forge_unreachable, forge_refused */
export async function confirmChange(api: GitHubApi, change: Change): Promise<Confirmed> {
  // A name may have come to another repository since.
  if ((await api.repositoryId(change)) !== change.repository.id)
    return { stale: `The repository ${change.repository.name} is not there any more, or is another one now.` };
  const { event, number, branch } = change;
  if (event === 'push') return confirmBranch(api, change, branch);
  if (event === 'pull_request' && number !== null) return confirmPullRequest(api, change, number);
  if (event === 'deployment' && number !== null) return confirmDeployment(api, change, number);
  if (event === 'workflow_run' && number !== null) return confirmRun(api, change, number);
  if (event === 'deployment_protection_rule' && number !== null) return confirmQuestion(api, change, number);
  if (event === 'deployment_review' && number !== null) return confirmReview(api, change, number);
  return { stale: `Nothing can be asked of an event "${event}".` };
}

async function confirmPullRequest(api: GitHubApi, change: Change, number: number): Promise<Confirmed> {
  const found = await api.pullRequest(change, number);
  if (found === null || found.state !== 'open') return { stale: `The pull request #${number} is not open any more.` };
  if (String(found.head.repo?.id ?? '') !== change.repository.id) return { stale: `The pull request #${number} comes from a fork.` };
  if (found.base.ref !== change.branch) return { stale: `The pull request #${number} goes into "${found.base.ref}" by now.` };
  if (found.head.sha !== change.commit) return { stale: `The head of the pull request #${number} is ${found.head.sha} by now.` };
  // What is proposed for a branch does not come from it.
  return { branch: null, stale: null };
}

/** GitHub makes deployments for jobs too, before anybody has said that they may start: what has ever waited for that is none that somebody asked for. */
async function confirmDeployment(api: GitHubApi, change: Change, number: number): Promise<Confirmed> {
  const { environment, branch: ref, commit } = change;
  const found = await api.deployment(change, number);
  if (found === null || environment === null || ref === null || found.sha !== commit || found.environment !== environment || found.ref !== ref)
    return { stale: `The deployment ${number} is not there any more, or is another one.` };
  if ((await api.deploymentStates(change, number)).includes('waiting')) return { stale: `The deployment ${number} belongs to a job of a workflow.` };
  const isCommit = /^[0-9a-f]{7,}$/.test(ref) && commit.startsWith(ref);
  const tag = /^refs\/tags\/(.+)$/.exec(ref)?.[1] ?? null;
  const confirmed = await confirmNewest(api, change, number, environment, isCommit || tag !== null ? null : ref.replace(/^refs\/heads\//, ''));
  if (confirmed.stale !== null || confirmed.branch !== null || isCommit || (await api.isTag(change, tag ?? ref))) return confirmed;
  return { stale: `"${ref}" is no branch and no tag of this repository.` };
}

async function confirmRun(api: GitHubApi, change: Change, number: number): Promise<Confirmed> {
  const found = await api.workflowRun(change, number);
  const isIt =
    isOfChange(found, change) &&
    found.conclusion === 'success' &&
    found.head_branch === change.branch &&
    OWN_RUNS.includes(found.event) &&
    fileOf(found.path) === change.workflow &&
    found.run_attempt === (change.attempt ?? 1);
  if (!isIt) return { stale: `The run ${number} is no success of this workflow and this commit any more.` };
  return confirmBranch(api, change, change.branch);
}

/** Whether its jobs are of that commit, and of no fork. */
function isOfChange<Run extends WaitingRun>(run: Run | null, { commit, repository }: Change): run is Run {
  return run !== null && run.head_sha === commit && String(run.head_repository?.id ?? '') === repository.id;
}

/** A job waits for an answer: of this very commit, in this repository and environment, and at the one address to which Weft answers. */
async function confirmQuestion(api: GitHubApi, change: Change, run: number): Promise<Confirmed> {
  const { environment, attempt, answer_to = '' } = change;
  if (!api.isAnsweredAt(change, run, answer_to)) return { stale: 'Its deployment_callback_url is not of the API of the configuration.' };
  if (!isOfChange(await api.waitingRun(change, run), change))
    return { stale: `The run ${run} is not there any more, is of another commit, or comes from a fork.` };
  const deployment = attempt === null ? null : await api.deployment(change, attempt);
  if (deployment === null || environment === null || deployment.sha !== change.commit || deployment.environment !== environment)
    return { stale: `The deployment ${attempt} is not there any more, or is another one.` };
  if (!(await api.pendingEnvironments(change, run)).includes(environment)) return { stale: `The run ${run} does not wait for "${environment}" any more.` };
  return { branch: null, stale: null };
}

/** Who has started a run is nobody's second person, whatever the settings of the environment say; and of a run that is over a review says nothing any more. */
async function confirmReview(api: GitHubApi, change: Change, run: number): Promise<Confirmed> {
  const { environment } = change;
  const found = await api.reviewedRun(change, run);
  if (!isOfChange(found, change)) return { stale: `The run ${run} is not there any more, is of another commit, or comes from a fork.` };
  // GitHub lists the reviews of a run without time or attempt: they may all be about the first attempt.
  if (found.run_attempt !== 1) return { stale: `The run ${run} was started again, and GitHub does not say of which attempt a review is.` };
  if (found.status === 'completed') return { stale: `The run ${run} is over.` };
  const reviews = (await api.reviewsOf(change, run)).filter(({ environments }) => environments.some(({ name }) => name === environment));
  if (reviews.some(({ state }) => state === 'rejected')) return { stale: `A reviewer has rejected "${environment}" in the run ${run}.` };
  const starters = [found.actor?.id, found.triggering_actor?.id];
  const reviewers = reviews.flatMap(({ state, user }) => (state === 'approved' && user !== null && !starters.includes(user.id) ? [String(user.id)] : []));
  if (reviewers.length === 0) return { stale: `Nobody but who has started the run ${run} has approved "${environment}" there.` };
  return { branch: null, reviewers, stale: null };
}
