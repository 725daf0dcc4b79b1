/** What GitHub, GitLab and Azure DevOps have to say before a commit counts as the head that it was said to be; each answer wrong in one way. */
import { describe, expect, test } from 'vitest';
import type { Change } from '../../src/domain/change.ts';
import type { AzureApi } from '../../src/forges/azure/api.ts';
import { confirmChange as confirmAtAzure } from '../../src/forges/azure/confirm.ts';
import type { GitHubApi } from '../../src/forges/github/api.ts';
import { confirmChange } from '../../src/forges/github/confirm.ts';
import type { GitLabApi } from '../../src/forges/gitlab/api.ts';
import { confirmChange as confirmAtGitLab } from '../../src/forges/gitlab/confirm.ts';
import { CHANGE, COMMIT } from '../support/changes.ts';

const OTHER = 'b'.repeat(40);
const DEPLOYMENT = { ...CHANGE, event: 'deployment', environment: 'production', number: 5, attempt: 5 };

describe('GitHub', () => {
  const right = {
    repositoryId: '7' as string | null,
    branchHead: COMMIT as string | null,
    pullRequest: { state: 'open', head: { sha: COMMIT, repo: { id: 7 } as { id: number } | null }, base: { ref: 'main' } } as object | null,
    deployment: { id: 5, sha: COMMIT, ref: 'main', environment: 'production' } as object | null,
    newestDeployment: { id: 5 } as object | null,
    deploymentStates: ['in_progress'],
    isTag: true,
    workflowRun: {
      head_sha: COMMIT,
      head_branch: 'main',
      head_repository: { id: 7 },
      event: 'push',
      path: '.github/workflows/ci.yml@refs/heads/main',
      conclusion: 'success',
      run_attempt: 1,
    } as object | null,
  };
  const confirm = (change: Change, answers: Partial<typeof right> = {}) =>
    confirmChange(
      Object.fromEntries(Object.entries({ ...right, ...answers }).map(([name, answer]) => [name, async () => answer])) as unknown as GitHubApi,
      change,
    );
  const PULL = { ...CHANGE, event: 'pull_request', number: 3 };
  const RUN = { ...CHANGE, event: 'workflow_run', number: 9, workflow: '.github/workflows/ci.yml' };

  test('a push, a run and a deployment prove the branch whose head it is', async () => {
    for (const change of [CHANGE, RUN, DEPLOYMENT]) expect(await confirm(change)).toEqual({ branch: 'main', stale: null });
  });

  test('a pull request proves no branch, and neither does a deployment of a tag or of a commit', async () => {
    expect(await confirm(PULL)).toEqual({ branch: null, stale: null });
    const ofCommit = { deployment: { id: 5, sha: COMMIT, ref: COMMIT, environment: 'production' } };
    expect(await confirm({ ...DEPLOYMENT, branch: COMMIT }, ofCommit)).toEqual({ branch: null, stale: null });
    for (const ref of ['v1', 'refs/tags/v1', COMMIT.slice(0, 7)]) {
      const found = { deployment: { ...ofCommit.deployment, ref }, branchHead: null };
      expect(await confirm({ ...DEPLOYMENT, branch: ref }, found), ref).toEqual({ branch: null, stale: null });
    }
  });

  test('a deployment of a branch proves it by whichever of its names it was asked for', async () => {
    const found = { deployment: { id: 5, sha: COMMIT, ref: 'refs/heads/main', environment: 'production' } };
    expect(await confirm({ ...DEPLOYMENT, branch: 'refs/heads/main' }, found)).toEqual({ branch: 'main', stale: null });
  });

  test.each<[string, Change, Partial<typeof right>]>([
    ['the name belongs to another repository', CHANGE, { repositoryId: '8' }],
    ['the repository is gone', CHANGE, { repositoryId: null }],
    ['the branch is gone', CHANGE, { branchHead: null }],
    ['the branch has another head', CHANGE, { branchHead: OTHER }],
    ['the pull request is gone', PULL, { pullRequest: null }],
    ['it is closed', PULL, { pullRequest: { ...right.pullRequest, state: 'closed' } }],
    ['it is of a fork', PULL, { pullRequest: { ...right.pullRequest, head: { sha: COMMIT, repo: { id: 66 } } } }],
    ['its fork is gone', PULL, { pullRequest: { ...right.pullRequest, head: { sha: COMMIT, repo: null } } }],
    ['it has another head', PULL, { pullRequest: { ...right.pullRequest, head: { sha: OTHER, repo: { id: 7 } } } }],
    ['it goes elsewhere', PULL, { pullRequest: { ...right.pullRequest, base: { ref: 'other' } } }],
    ['the deployment is gone', DEPLOYMENT, { deployment: null }],
    ['it is of another commit', DEPLOYMENT, { deployment: { ...right.deployment, sha: OTHER } }],
    ['it is for another environment', DEPLOYMENT, { deployment: { ...right.deployment, environment: 'staging' } }],
    ['it is of another branch', DEPLOYMENT, { deployment: { ...right.deployment, ref: 'other' } }],
    ['it is not the newest', DEPLOYMENT, { newestDeployment: { id: 6 } }],
    ['its branch has another head', DEPLOYMENT, { branchHead: OTHER }],
    ['it belongs to a job that waits', DEPLOYMENT, { deploymentStates: ['waiting'] }],
    ['it belongs to a job that has waited', DEPLOYMENT, { deploymentStates: ['in_progress', 'queued', 'waiting'] }],
    ['its branch and tag are of nobody here', DEPLOYMENT, { branchHead: null, isTag: false }],
    ['the run is gone', RUN, { workflowRun: null }],
    ['it was run again and failed', RUN, { workflowRun: { ...right.workflowRun, conclusion: 'failure' } }],
    ['it is of another commit', RUN, { workflowRun: { ...right.workflowRun, head_sha: OTHER } }],
    ['it is of another branch', RUN, { workflowRun: { ...right.workflowRun, head_branch: 'other' } }],
    ['it is of another workflow', RUN, { workflowRun: { ...right.workflowRun, path: '.github/workflows/lint.yml' } }],
    ['it is of a fork', RUN, { workflowRun: { ...right.workflowRun, head_repository: { id: 66 } } }],
    ['its fork is gone', RUN, { workflowRun: { ...right.workflowRun, head_repository: null } }],
    ['it is for a pull request', RUN, { workflowRun: { ...right.workflowRun, event: 'pull_request' } }],
    ['it is another attempt', RUN, { workflowRun: { ...right.workflowRun, run_attempt: 2 } }],
    ['it is not the attempt that was said', { ...RUN, attempt: 2 }, {}],
    ['its branch has another head', RUN, { branchHead: OTHER }],
    ['there is no such event', { ...CHANGE, event: 'release' }, {}],
  ])('%s: nothing follows', async (_name, change, answers) => {
    expect((await confirm(change, answers)).stale).toMatch(/\.$/);
  });
});

describe('GitLab', () => {
  const right = {
    branchHead: COMMIT as string | null,
    mergeRequest: { state: 'opened', sha: COMMIT, source_project_id: 7, target_branch: 'main' } as object | null,
    deployment: { id: 5, sha: COMMIT, ref: 'main', status: 'running', environment: { name: 'production' } } as object | null,
    newestDeployment: { id: 5 } as object | null,
    pipeline: { status: 'success', sha: COMMIT, ref: 'main', source: 'push' } as object | null,
  };
  const confirm = (change: Change, answers: Partial<typeof right> = {}) =>
    confirmAtGitLab(
      Object.fromEntries(Object.entries({ ...right, ...answers }).map(([name, answer]) => [name, async () => answer])) as unknown as GitLabApi,
      change,
    );
  const MERGE = { ...CHANGE, event: 'merge_request', number: 3 };
  const PIPELINE = { ...CHANGE, event: 'pipeline', number: 9 };

  test('a push, a pipeline and a deployment prove the branch whose head it is; a merge request proves none', async () => {
    for (const change of [CHANGE, PIPELINE, DEPLOYMENT]) expect(await confirm(change)).toEqual({ branch: 'main', stale: null });
    expect(await confirm(MERGE)).toEqual({ branch: null, stale: null });
  });

  test.each<[string, Change, Partial<typeof right>]>([
    ['the branch is gone', CHANGE, { branchHead: null }],
    ['the branch has another head', CHANGE, { branchHead: OTHER }],
    ['the merge request is gone', MERGE, { mergeRequest: null }],
    ['it is merged', MERGE, { mergeRequest: { ...right.mergeRequest, state: 'merged' } }],
    ['it is of a fork', MERGE, { mergeRequest: { ...right.mergeRequest, source_project_id: 66 } }],
    ['its fork is gone', MERGE, { mergeRequest: { ...right.mergeRequest, source_project_id: null } }],
    ['it has another head', MERGE, { mergeRequest: { ...right.mergeRequest, sha: OTHER } }],
    ['it goes elsewhere', MERGE, { mergeRequest: { ...right.mergeRequest, target_branch: 'other' } }],
    ['the deployment is gone', DEPLOYMENT, { deployment: null }],
    ['it is of another commit', DEPLOYMENT, { deployment: { ...right.deployment, sha: OTHER } }],
    ['it is for another environment', DEPLOYMENT, { deployment: { ...right.deployment, environment: { name: 'staging' } } }],
    ['it is not the newest', DEPLOYMENT, { newestDeployment: { id: 6 } }],
    ['its branch has another head', DEPLOYMENT, { branchHead: OTHER }],
    ['the pipeline is gone', PIPELINE, { pipeline: null }],
    ['it failed when it was run again', PIPELINE, { pipeline: { ...right.pipeline, status: 'failed' } }],
    ['it is of another branch', PIPELINE, { pipeline: { ...right.pipeline, ref: 'other' } }],
    ['it is for a merge request', PIPELINE, { pipeline: { ...right.pipeline, source: 'merge_request_event' } }],
    ['it was started anew', PIPELINE, { pipeline: { ...right.pipeline, source: 'web' } }],
    ['it was not started anew', { ...PIPELINE, attempt: 9 }, {}],
    ['its deployment belongs to a job', DEPLOYMENT, { deployment: { ...right.deployment, deployable: { id: 1 } } }],
    ['its branch has another head', PIPELINE, { branchHead: OTHER }],
  ])('%s: nothing follows', async (_name, change, answers) => {
    expect((await confirm(change, answers)).stale).toMatch(/\.$/);
  });
});

describe('Azure DevOps', () => {
  const AT_AZURE = { ...CHANGE, repository: { id: 'r-1', name: 'p-1/r-1' } };
  const right = {
    repository: { id: 'r-1', name: 'shop', project: { id: 'p-1' } } as object | null,
    branchHead: COMMIT as string | null,
    pullRequest: {
      status: 'active',
      repository: { id: 'r-1' },
      sourceRefName: 'refs/heads/feature',
      targetRefName: 'refs/heads/main',
      lastMergeSourceCommit: { commitId: COMMIT },
    } as object | null,
    build: {
      status: 'completed',
      result: 'succeeded',
      sourceBranch: 'refs/heads/main',
      sourceVersion: COMMIT,
      reason: 'individualCI',
      definition: { id: 12 },
      repository: { id: 'r-1', type: 'TfsGit' },
    } as object | null,
  };
  const confirm = (change: Change, answers: Partial<typeof right> = {}) =>
    confirmAtAzure(
      Object.fromEntries(Object.entries({ ...right, ...answers }).map(([name, answer]) => [name, async () => answer])) as unknown as AzureApi,
      change,
    );
  const PULL = { ...AT_AZURE, event: 'pull_request', number: 3 };
  const BUILD = { ...AT_AZURE, event: 'build', number: 9, workflow: '12' };

  test('a push and a build prove the branch whose head it is; a pull request proves none', async () => {
    for (const change of [AT_AZURE, BUILD]) expect(await confirm(change)).toEqual({ branch: 'main', stale: null });
    expect(await confirm(PULL)).toEqual({ branch: null, stale: null });
  });

  test('a build may be of another project than its repository', async () => {
    expect(await confirm({ ...BUILD, repository: { id: 'r-1', name: 'p-2/r-1' } })).toEqual({ branch: 'main', stale: null });
  });

  test.each<[string, Change, Partial<typeof right>]>([
    ['the repository is gone', AT_AZURE, { repository: null }],
    ['it is another one', AT_AZURE, { repository: { id: 'r-2', name: 'shop', project: { id: 'p-1' } } }],
    ['it is of another project', AT_AZURE, { repository: { id: 'r-1', name: 'shop', project: { id: 'p-2' } } }],
    ['the same of a pull request', PULL, { repository: { id: 'r-1', name: 'shop', project: { id: 'p-2' } } }],
    ['the branch is gone', AT_AZURE, { branchHead: null }],
    ['the branch has another head', AT_AZURE, { branchHead: OTHER }],
    ['the pull request is gone', PULL, { pullRequest: null }],
    ['it is closed', PULL, { pullRequest: { ...right.pullRequest, status: 'completed' } }],
    ['it is of another repository', PULL, { pullRequest: { ...right.pullRequest, repository: { id: 'r-2' } } }],
    ['it is of a fork', PULL, { pullRequest: { ...right.pullRequest, forkSource: {} } }],
    ['it has another head', PULL, { pullRequest: { ...right.pullRequest, lastMergeSourceCommit: { commitId: OTHER } } }],
    ['it has no head yet', PULL, { pullRequest: { ...right.pullRequest, lastMergeSourceCommit: null } }],
    ['its branch is further', PULL, { branchHead: OTHER }],
    ['its branch is gone', PULL, { branchHead: null }],
    ['it goes elsewhere', PULL, { pullRequest: { ...right.pullRequest, targetRefName: 'refs/heads/other' } }],
    ['the build is gone', BUILD, { build: null }],
    ['it is not over', BUILD, { build: { ...right.build, status: 'inProgress' } }],
    ['it failed when it was run again', BUILD, { build: { ...right.build, result: 'failed' } }],
    ['it has no result', BUILD, { build: { ...right.build, result: null } }],
    ['it is of another commit', BUILD, { build: { ...right.build, sourceVersion: OTHER } }],
    ['it is of another branch', BUILD, { build: { ...right.build, sourceBranch: 'refs/heads/other' } }],
    ['it is for a pull request', BUILD, { build: { ...right.build, reason: 'pullRequest' } }],
    ['it was started anew', BUILD, { build: { ...right.build, reason: 'manual' } }],
    ['it was not started anew', { ...BUILD, attempt: 9 }, {}],
    ['it is of another pipeline', BUILD, { build: { ...right.build, definition: { id: 13 } } }],
    ['it is of another repository', BUILD, { build: { ...right.build, repository: { id: 'r-2', type: 'TfsGit' } } }],
    ['it is of a repository elsewhere', BUILD, { build: { ...right.build, repository: { id: 'r-1', type: 'GitHub' } } }],
    ['its branch has another head', BUILD, { branchHead: OTHER }],
    ['there is no such event', { ...AT_AZURE, event: 'release' }, {}],
  ])('%s: nothing follows', async (_name, change, answers) => {
    expect((await confirm(change, answers)).stale).toMatch(/\.$/);
  });
});
