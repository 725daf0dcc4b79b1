/** Two messages of one commit that are taken up at the same moment, neither of which can find what the other is about to write. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Account, Change } from '../../src/domain/change.ts';
import type { Fetch } from '../../src/forges/asking.ts';
import { connectAzure } from '../../src/forges/azure/azure.ts';
import type { Reports } from '../../src/forges/forge.ts';
import { connectGitHub } from '../../src/forges/github/github.ts';
import { connectGitLab } from '../../src/forges/gitlab/gitlab.ts';
import { AZURE_TOKEN, type Azure, REPOSITORY_ID, startAzure } from '../support/azure.ts';
import { CHANGE } from '../support/changes.ts';
import { APP_ID, type GitHub, INSTALLATION_ID, startGitHub } from '../support/github.ts';
import { GITLAB_TOKEN, type GitLab, startGitLab } from '../support/gitlab.ts';

let [github, gitlab, azure]: [GitHub?, GitLab?, Azure?] = [];
beforeAll(async () => {
  [github, gitlab, azure] = await Promise.all([startGitHub(), startGitLab(), startAzure()]);
});
afterAll(() => Promise.all([github?.stop(), gitlab?.stop(), azure?.stop()]));

const account: Account = { name: 'weft: shop', state: 'success', title: 'shop was rehearsed', text: 'It ran through.', remarks: [] };
const secrets = { webhooks: [], token: null, privateKey: null };

/** Whoever looks for what is there already is answered when both have looked: so both have found nothing. */
function lookingTogether(looks: RegExp): Fetch {
  const waiting: (() => void)[] = [];
  let count = 0;
  return async (address, init) => {
    const answer = await fetch(address, init);
    if ((init?.method ?? 'GET') !== 'GET' || !looks.test(String(address)) || ++count > 2) return answer;
    if (count === 1) await new Promise<void>((resolve) => waiting.push(resolve));
    else for (const go of waiting) go();
    return answer;
  };
}

const surroundings = (looks: RegExp) => ({ fetch: lookingTogether(looks), now: () => Date.now(), version: '0' });
const forge = (kind: 'github' | 'gitlab' | 'azure', api: string) => ({ kind, api, archives: api, webhook_secrets: [] });

test('leave one comment on a pull request of GitHub, the first, and go on with the newest of two check runs, which GitHub shows', async () => {
  const hub = github as GitHub;
  const commit = hub.commit({ 'db/1.sql': 'select 1;' });
  const change: Change = { ...CHANGE, repository: { id: String(hub.repository.id), name: hub.repository.name }, commit };
  const given = { ...forge('github', hub.api), app: { id: APP_ID, installation: INSTALLATION_ID, private_key: 'KEY' } };
  const client = (looks: RegExp) => connectGitHub(given, { ...secrets, privateKey: hub.privateKey.pkcs1 }, surroundings(looks));

  const byCheck = client(/check-runs/);
  const told = await Promise.all([byCheck.report(change, account, {}), byCheck.report(change, account, {})]);
  expect(told.map(({ error }) => error)).toEqual([undefined, undefined]);
  const [older, newest] = hub.repository.checkRuns;
  expect(hub.repository.checkRuns).toHaveLength(2);
  expect(told.map(({ reports }) => reports.check)).toContain(String(newest.id));
  expect([older.status, newest.status, newest.conclusion]).toEqual(['completed', 'completed', 'success']);
  expect(older.id).toBeLessThan(newest.id);

  const byComment = client(/comments/);
  const pull = { ...change, event: 'pull_request', number: 7 };
  const two = await Promise.all([byComment.report(pull, account, {}), byComment.report(pull, account, {})]);
  expect(two.map(({ error }) => error)).toEqual([undefined, undefined]);
  expect(hub.repository.comments).toHaveLength(1);
  expect(new Set(two.map(({ reports }) => reports.comment))).toContain(String(hub.repository.comments[0].id));
});

const begun: Account = { ...account, state: 'running', title: 'shop is being deployed' };

function ofCommit(text: string) {
  const hub = github as GitHub;
  const commit = hub.commit({ 'db/1.sql': `-- ${text}` });
  const change: Change = { ...CHANGE, repository: { id: String(hub.repository.id), name: hub.repository.name }, commit };
  const given = { ...forge('github', hub.api), app: { id: APP_ID, installation: INSTALLATION_ID, private_key: 'KEY' } };
  return {
    change,
    client: (fetch: Fetch) => connectGitHub(given, { ...secrets, privateKey: hub.privateKey.pkcs1 }, { ...surroundings(/ /), fetch }),
    runs: () => hub.repository.checkRuns.filter(({ head_sha }) => head_sha === commit),
  };
}

test.each([
  ['the one that has made the older check run', 0],
  ['the one that has made the newer', 1],
] as const)('leave no check run of GitHub open, of which one was made when the other had looked: %s tells the end on the newest', async (_, teller) => {
  const { change, client, runs } = ofCommit(`told by ${teller}`);
  // The second has looked, and found nothing, before the first makes one; and makes its own when the first has looked once more.
  let isFirstDone: Promise<{ reports: Reports; error: unknown }> | undefined;
  const first = client(fetch);
  const second = client(async (address, init) => {
    const answer = await fetch(address, init);
    if (/check-runs/.test(String(address)) && isFirstDone === undefined) {
      isFirstDone = first.report(change, begun, {});
      await isFirstDone;
    }
    return answer;
  });
  const bySecond = await second.report(change, begun, {});
  const byFirst = await isFirstDone;
  expect([byFirst?.error, bySecond.error, runs().length]).toEqual([undefined, undefined, 2]);

  const told = [byFirst?.reports ?? {}, bySecond.reports];
  const { error } = await (teller === 0 ? first : second).report(change, account, told[teller] ?? {});
  expect(error).toBeUndefined();
  const ends = () => runs().map(({ conclusion }) => conclusion);
  expect(ends()).toEqual(['neutral', 'success']);
  // What was read before, and is told behind it, opens none again.
  let { reports } = { reports: told[0] ?? {} };
  for (const title of ['shop waits for approval', 'shop still waits for approval'])
    ({ reports } = await first.report(change, { ...account, state: 'waiting', title }, reports));
  expect([ends(), runs().map(({ status }) => status)]).toEqual([
    ['neutral', 'success'],
    ['completed', 'completed'],
  ]);
});

test('a failure that is told once more stays on the check run that has its remarks: what was begun behind it is another deployment’s', async () => {
  const { change, client, runs } = ofCommit('failed, and begun anew');
  const hub = client(fetch);
  const failure: Account = { ...account, state: 'failure', remarks: [{ path: 'db/1.sql', line: 1, level: 'failure', message: 'no' }] };
  const { reports } = await hub.report(change, failure, {});
  await hub.report(change, begun, {});
  await hub.report(change, failure, reports);
  expect(runs().map(({ status, conclusion, output }) => [status, conclusion, output.annotations?.length])).toEqual([
    ['completed', 'failure', 1],
    ['in_progress', undefined, undefined],
  ]);
});

test('leave one note on a merge request of GitLab', async () => {
  const lab = gitlab as GitLab;
  const commit = lab.commit({ 'db/1.sql': 'select 1;' });
  const repository = { id: String(lab.project.id), name: lab.project.path_with_namespace };
  const change: Change = { ...CHANGE, repository, commit, event: 'merge_request', number: 7 };
  const client = connectGitLab({ ...forge('gitlab', lab.api), token: 'T' }, { ...secrets, token: GITLAB_TOKEN }, surroundings(/notes/));
  await Promise.all([client.report(change, account, {}), client.report(change, account, {})]);
  expect(lab.notes).toHaveLength(1);
});

test('leave one thread on a pull request of Azure DevOps', async () => {
  const devops = azure as Azure;
  const sha = devops.commit({ 'db/1.sql': 'select 1;' });
  devops.pullRequests.set(7, { status: 'active', sha, source: 'topic', target: 'main' });
  const change: Change = { ...CHANGE, repository: { id: REPOSITORY_ID, name: 'fabrikam/shop' }, commit: sha, event: 'pull_request', number: 7 };
  const client = connectAzure({ ...forge('azure', devops.api), token: 'T' }, { ...secrets, token: AZURE_TOKEN }, surroundings(/threads/));
  const told = await Promise.all([client.report(change, account, {}), client.report(change, account, {})]);
  expect(told.map(({ error }) => error)).toEqual([undefined, undefined]);
  expect(devops.threads.filter(({ comments }) => comments.some(({ isDeleted }: { isDeleted?: boolean }) => !isDeleted))).toHaveLength(1);
});
