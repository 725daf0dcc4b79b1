/**
 * A second person at GitLab and at Azure DevOps, as GitHub has it in protection.test.ts: told of as waiting, with the words that approve it, and as what
 * became of it when somebody has, or when nobody has in time; with a queue, and without one.
 */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { AZURE_TOKEN, type Azure, buildOf, deliverFromAzure, REPOSITORY_ID, startAzure } from '../support/azure.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { deliverFromGitLab, GITLAB_TOKEN, type GitLab, startGitLab } from '../support/gitlab.ts';
import { sql } from '../support/sql.ts';
import { approve, BOSS_SECRET } from './world.ts';

const LAB_SECRET = 'of-the-tests-and-of-nobody-else';
const AZURE_SECRET = 'of-the-other-tests-of-this-file';

let gitlab: GitLab;
let azure: Azure;
let database: TestDatabase;
let relay: Relay;
let worker: LocalWorker;
let lines: string[];

const bundle = (name: string, more = '') => ({
  'db/weft.yaml': `name: ${name}\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n`,
  'db/1.sql': `create table ${name} (n int primary key);\n`,
  ...(more === '' ? {} : { 'db/2.sql': more }),
});

async function open(queue: boolean): Promise<void> {
  [gitlab, azure, database] = await Promise.all([startGitLab(), startAzure(), emptyDatabase()]);
  const { hostname: host, port } = new URL(database.url);
  relay = await startRelay({ to: { host, port: Number(port) } });
  lines = [];
  const atGitLab = { forge: 'lab', repository_id: String(gitlab.project.id), folder: 'db', target: 'shop' };
  const atAzure = { forge: 'azure', repository_id: REPOSITORY_ID, folder: 'db', target: 'shop' };
  worker = await startWorker({
    entry: join(import.meta.dirname, '..', 'worker', 'mortal_entry.ts'),
    config: {
      environments: { live: { second_person: true } },
      targets: {
        shop: { database: 'SHOP_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true, environment: 'live', scheduled: true },
      },
      callers: {
        lab: { forge: { kind: 'gitlab', webhook_secrets: ['LAB_HOOK'], api: gitlab.api, token: 'GITLAB_TOKEN' } },
        azure: { forge: { kind: 'azure', webhook_secrets: ['AZURE_HOOK'], api: azure.api, token: 'AZURE_TOKEN' } },
        boss: { secrets: ['BOSS_SECRET'] },
      },
      grants: [
        { caller: 'lab', targets: ['shop'], actions: ['deploy'] },
        { caller: 'azure', targets: ['shop'], actions: ['deploy'] },
        { caller: 'boss', targets: ['shop'], actions: ['approve'] },
      ],
      sources: [
        { ...atGitLab, event: 'push', branch: 'main' },
        { ...atGitLab, event: 'merge_request', branch: 'main', mode: 'apply' },
        { ...atGitLab, event: 'deployment', environment: 'production' },
        { ...atAzure, event: 'push', branch: 'main' },
        { ...atAzure, event: 'pull_request', branch: 'main', mode: 'apply' },
        { ...atAzure, event: 'build', branch: 'release/*', workflow: '12' },
      ],
    },
    secrets: {
      SHOP_URL: database.url,
      LAB_HOOK: LAB_SECRET,
      AZURE_HOOK: AZURE_SECRET,
      GITLAB_TOKEN,
      AZURE_TOKEN,
      BOSS_SECRET,
      LIFE_SECONDS: 600,
      PAUSE_SECONDS: 1,
    },
    aftercare: { queue },
    onLog: (line) => lines.push(line),
  });
}

async function close(): Promise<void> {
  await worker?.stop();
  await Promise.all([gitlab?.stop(), azure?.stop(), relay?.stop()]);
  await database?.drop();
}

/** Sends what a forge tells, and waits until it waits for its second person. @returns what approves it */
async function send(forge: 'gitlab' | 'azure', { headers, body }: { headers: Record<string, string>; body: string }): Promise<{ id: string; digest: string }> {
  const answer = await worker.fetch(`/webhooks/${forge}`, { method: 'POST', headers, body });
  const { delivery, outcome } = (await answer.json()) as { delivery: string; outcome: string };
  expect([answer.status, outcome]).toEqual([202, 'accepted']);
  const last = () => lines.map((line) => JSON.parse(line)).findLast((line) => line.message === 'change' && line.delivery === delivery);
  await expect.poll(() => last()?.finding, { timeout: 30_000 }).toBe('waiting');
  const [waiting] = await sql(database.url, 'select deployment_id as id, digest from weft.approvals where deployment_id = $1', [last().deployment]);
  return waiting;
}

const fromGitLab = (payload: object) => send('gitlab', deliverFromGitLab(payload, LAB_SECRET));
const fromAzure = (payload: object) => send('azure', deliverFromAzure(payload, AZURE_SECRET));
const say = async ({ id, digest }: { id: string; digest: string }) => expect(await approve(worker, id, digest)).toMatchObject({ status: 200 });
const statusesOf = (statuses: readonly { sha: string; state: string; description: string }[], sha: string) => statuses.filter((one) => one.sha === sha);
const until = (isSo: () => unknown) => expect.poll(isSo, { timeout: 40_000 }).toBeTruthy();
const isOwedNothing = () => expect.poll(async () => (await sql(database.url, 'select count(*)::int as n from weft._owed'))[0].n, { timeout: 20_000 }).toBe(0);

/** As if its week were over. */
async function outwait(): Promise<void> {
  await sql(database.url, `update weft._protections set asked_at = asked_at - interval '8 days', approve_until = approve_until - interval '8 days'`);
  await worker.runSchedule();
}

describe.each([
  ['with a queue', true],
  ['without a queue', false],
])('%s', (_, queue) => {
  beforeAll(() => open(queue));
  afterAll(close);
  afterEach(() => expect([...gitlab.faults, ...azure.faults]).toEqual([]));

  test('a push to GitLab waits as a pending status, and is told as a success when somebody has approved it', async () => {
    const sha = gitlab.commit(bundle('lab_push'));
    const waiting = await fromGitLab(gitlab.push());
    expect(statusesOf(gitlab.statuses, sha).at(-1)).toMatchObject({ state: 'pending', description: 'lab_push waits for approval at shop' });
    await say(waiting);
    await until(() => statusesOf(gitlab.statuses, sha).at(-1)?.state === 'success');
    expect(statusesOf(gitlab.statuses, sha).at(-1)?.description).toBe('lab_push is deployed to shop');
    await isOwedNothing();
  });

  test('a merge request at GitLab has its note when it is over, with who has approved it; a deployment its status', async () => {
    const request = { state: 'opened', sha: gitlab.commit(bundle('lab_merge'), 'feature'), source_project_id: gitlab.project.id, target_branch: 'main' };
    gitlab.mergeRequests.set(4, request);
    const waiting = await fromGitLab(gitlab.mergeRequest(4));
    expect(gitlab.notes).toMatchObject([{ body: expect.stringContaining(`weft approve ${waiting.id} --digest ${waiting.digest}`) }]);
    await say(waiting);
    await until(() => gitlab.notes[0]?.body.includes('Approved by `boss`.'));
    expect(gitlab.notes).toHaveLength(1);
    gitlab.deployments.push({ id: 61, sha: gitlab.commit(bundle('lab_deployment')), ref: 'main', status: 'running', environment: { name: 'production' } });
    const asked = await fromGitLab(gitlab.deployment(61));
    expect(gitlab.deployments[0]?.status).toBe('running');
    await say(asked);
    await until(() => gitlab.deployments[0]?.status === 'success');
    await isOwedNothing();
  });

  test('what fails when it is approved is told at GitLab by file and line, once', async () => {
    const sha = gitlab.commit(bundle('lab_failing', 'select nonsense;\n'));
    await say(await fromGitLab(gitlab.push()));
    await until(() => statusesOf(gitlab.statuses, sha).at(-1)?.state === 'failed');
    await isOwedNothing();
    expect(gitlab.commitComments.filter((one) => one.sha === sha)).toMatchObject([
      { note: expect.stringContaining('weft approve ') },
      { note: expect.stringContaining('`db/2.sql`, line 1') },
    ]);
  });

  test('a push, and a build, at Azure DevOps wait as a pending status, and are told as a success when somebody has approved them', async () => {
    const pushed = azure.commit(bundle('azure_push'));
    const waiting = await fromAzure(azure.push());
    expect(statusesOf(azure.statuses, pushed).at(-1)).toMatchObject({
      state: 'pending',
      description: expect.stringContaining('azure_push waits for approval at shop: weft approve '),
    });
    await say(waiting);
    await until(() => statusesOf(azure.statuses, pushed).at(-1)?.state === 'succeeded');
    const built = azure.commit(bundle('azure_build'), 'release/1');
    azure.builds.set(7, buildOf(7, built, 'release/1'));
    await say(await fromAzure(azure.build(7)));
    await until(() => statusesOf(azure.statuses, built).at(-1)?.state === 'succeeded');
    await isOwedNothing();
  });

  test('a pull request at Azure DevOps waits as the pending status of its iteration, and has its thread when it is over, with who has approved it', async () => {
    azure.pullRequests.set(5, { status: 'active', sha: azure.commit(bundle('azure_pull'), 'feature'), source: 'feature', target: 'main' });
    const waiting = await fromAzure(azure.pullRequest(5));
    expect(azure.pullRequestStatuses.at(-1)).toMatchObject({
      state: 'pending',
      description: expect.stringContaining('azure_pull waits for approval at shop: weft approve '),
    });
    expect(azure.threads).toEqual([]);
    await say(waiting);
    await until(() => azure.threads.length === 1);
    expect(JSON.stringify(azure.threads)).toContain('Approved by `boss`.');
    expect(azure.pullRequestStatuses.at(-1)).toMatchObject({ state: 'succeeded' });
    await isOwedNothing();
  });

  test('what nobody approves in time is told as cancelled at both', async () => {
    const [atGitLab, atAzure] = [gitlab.commit(bundle('lab_never')), azure.commit(bundle('azure_never'))];
    await fromGitLab(gitlab.push());
    await fromAzure(azure.push());
    await outwait();
    await until(() => statusesOf(gitlab.statuses, atGitLab).at(-1)?.state === 'canceled');
    await until(() => statusesOf(azure.statuses, atAzure).at(-1)?.state === 'error');
    await isOwedNothing();
  });
});
