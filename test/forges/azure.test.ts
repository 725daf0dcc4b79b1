/** The whole way with Azure DevOps: from its service hooks, proved by a header or a password, to a real PostgreSQL, and back to Azure DevOps' people. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { AZURE_TOKEN, type Azure, buildOf, deliverFromAzure, PROJECT_ID, REPOSITORY_ID, startAzure } from '../support/azure.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';

const SECRET = 'of-the-tests-and-of-nobody-else';
const NEXT_SECRET = 'the-one-that-is-to-replace-it';

let azure: Azure;
let worker: LocalWorker;
let relay: Relay;
let database: TestDatabase;
const lines: string[] = [];

beforeAll(async () => {
  [azure, database] = await Promise.all([startAzure(), emptyDatabase()]);
  const { hostname: host, port } = new URL(database.url);
  relay = await startRelay({ to: { host, port: Number(port) } });
  const source = { forge: 'azure', repository_id: REPOSITORY_ID, folder: 'db/shop', target: 'shop' };
  worker = await startWorker({
    entry: join(import.meta.dirname, '..', 'worker', 'mortal_entry.ts'),
    config: {
      targets: { shop: { database: 'SHOP_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true } },
      callers: { azure: { forge: { kind: 'azure', webhook_secrets: ['HOOK', 'HOOK_NEXT'], api: azure.api, token: 'API_TOKEN' } } },
      grants: [{ caller: 'azure', targets: ['shop'], actions: ['deploy'] }],
      sources: [
        { ...source, event: 'push', branch: 'main' },
        { ...source, event: 'push', branch: 'hotfix/*' },
        { ...source, event: 'pull_request', branch: 'main' },
        { ...source, event: 'build', branch: 'release/*', workflow: '12' },
      ],
    },
    secrets: { SHOP_URL: database.url, HOOK: SECRET, HOOK_NEXT: NEXT_SECRET, API_TOKEN: AZURE_TOKEN, LIFE_SECONDS: 600, PAUSE_SECONDS: 1 },
    aftercare: { queue: true },
    onLog: (line) => lines.push(line),
  });
});
afterAll(async () => {
  await worker?.stop();
  await Promise.all([azure?.stop(), relay?.stop()]);
  await database?.drop();
});
afterEach(() => {
  expect(azure.faults).toEqual([]);
  const told = JSON.stringify([azure.threads, azure.statuses, azure.pullRequestStatuses, lines]);
  const encoded = [`weft:${SECRET}`, `:${AZURE_TOKEN}`].map((text) => Buffer.from(text).toString('base64'));
  for (const secret of [new URL(database.url).password, SECRET, NEXT_SECRET, AZURE_TOKEN, ...encoded]) expect(told).not.toContain(secret);
});

// biome-ignore lint/suspicious/noExplicitAny: a test looks into documents freely
type AnyDocument = any;

async function post({ headers, body }: { headers: Record<string, string>; body: string }): Promise<{ status: number; document: AnyDocument }> {
  const answer = await worker.fetch('/webhooks/azure', { method: 'POST', headers, body });
  return { status: answer.status, document: await answer.json() };
}

/** Sends a service hook, and waits until there is nothing left to do for it. @returns the last that the log has of each of its deployments */
async function settleAll(sent: ReturnType<typeof deliverFromAzure>): Promise<AnyDocument[]> {
  const from = lines.length;
  const { status, document } = await post(sent);
  expect([status, document.outcome], JSON.stringify(document)).toEqual([202, 'accepted']);
  const over = () =>
    lines
      .slice(from)
      .map((line) => JSON.parse(line) as AnyDocument)
      .filter(({ message, delivery, again_seconds }) => message === 'change' && delivery === document.delivery && again_seconds === null);
  await expect.poll(() => over().length, { timeout: 40_000 }).toBe(document.deployments.length);
  return over();
}

async function settle(payload: object, secret = SECRET, by: 'header' | 'basic' = 'header'): Promise<AnyDocument> {
  return (await settleAll(deliverFromAzure(payload, secret, by)))[0];
}

const bundle = (name: string, more = '') => ({
  'README.md': 'beside',
  'db/other.sql': 'select beside;',
  'db/shop/weft.yaml': `name: ${name}\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n`,
  'db/shop/1.sql': `create table ${name} (n int primary key);\n`,
  'db/shop/empty.txt': '',
  ...(more === '' ? {} : { 'db/shop/2.sql': more }),
});
const exists = async (table: string) => (await sql(database.url, `select to_regclass('public.${table}') is not null as is_there`))[0].is_there;
/** Until sessions that are still at the end of something have opened what they open. */
async function quiet(): Promise<number> {
  for (let before = -1; before !== relay.connections.length; await new Promise((resolve) => setTimeout(resolve, 1500))) before = relay.connections.length;
  return relay.connections.length;
}
const countOf = async (name: string) => (await sql(database.url, `select count(*)::int as n from weft._deployments where bundle = '${name}'`))[0].n;

describe.each([
  ['a header', 'header', SECRET, 'X-Weft-Token'],
  ['a password', 'basic', SECRET, 'Basic'],
  ['the secret that is to replace it', 'header', NEXT_SECRET, 'X-Weft-Token'],
] as const)('proved by %s', (_name, by, secret, signature) => {
  const name = `by_${by}_${secret.length}`;
  test('a push is confirmed, fetched, deployed, and told as a commit status', async () => {
    const sha = azure.commit(bundle(name, `insert into ${name} values (1), (2);\n`));
    expect(await settle(azure.push(), secret, by)).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(await sql(database.url, `select n from ${name} order by n`)).toEqual([{ n: 1 }, { n: 2 }]);
    const context = { genre: 'weft', name: 'weft: db/shop to shop' };
    expect(azure.statuses.filter((one) => one.sha === sha)).toMatchObject([
      { context, state: 'pending' },
      { context, state: 'succeeded', description: `${name} is deployed to shop` },
    ]);
    const [row] = await sql(database.url, `select caller, signature from weft._deployments where bundle = '${name}'`);
    expect(row).toMatchObject({ caller: 'azure', signature: { webhook_of: 'azure', event: 'push', repository: `${PROJECT_ID}/${REPOSITORY_ID}`, signature } });
    expect(JSON.stringify(row)).not.toContain(secret);
  });
});

test('the same notification twice, and the same event by another subscription, are one deployment', async () => {
  azure.commit(bundle('once'));
  const payload = azure.push();
  const first = await settle(payload);
  const again = await settle({ ...payload, notificationId: payload.notificationId + 1 });
  const other = await settle({ ...azure.push(), subscriptionId: '00000000-0000-0000-0000-000000000002' });
  expect([again.deployment, other.deployment]).toEqual([first.deployment, first.deployment]);
  expect(await countOf('once')).toBe(1);
});

test('a push of several branches is followed for each that a source follows', async () => {
  const [one, two] = [azure.commit(bundle('first_fix'), 'hotfix/1'), azure.commit(bundle('second_fix'), 'hotfix/2')];
  azure.commit(bundle('of_nobody'), 'feature/x');
  const told = await settleAll(deliverFromAzure(azure.push('hotfix/1', 'feature/x', 'hotfix/2', 'gone'), SECRET));
  expect(told.map(({ commit, state }) => [commit, state]).sort()).toEqual(
    [
      [one, 'succeeded'],
      [two, 'succeeded'],
    ].sort(),
  );
  expect([await exists('first_fix'), await exists('second_fix'), await exists('of_nobody')]).toEqual([true, true, false]);
});

test('an old webhook, sent again, wakes no database and is told nowhere', async () => {
  const old = azure.commit(bundle('captured'));
  const payload = azure.push();
  azure.commit(bundle('newer'));
  const [connections, asked] = [await quiet(), azure.asked.length];
  expect(await settle(payload)).toMatchObject({ finding: 'stale', deployment: null, stale: expect.stringContaining('The head of "main" is') });
  expect(relay.connections.length).toBe(connections);
  expect(azure.asked.slice(asked).filter((line) => !line.startsWith('GET '))).toEqual([]);
  expect(azure.statuses.filter(({ sha }) => sha === old)).toEqual([]);
  expect(await exists('captured')).toBe(false);
});

test('a branch whose name only begins like another is not taken for it', async () => {
  azure.branches.delete('main');
  azure.commit(bundle('mainly'), 'mainly');
  const payload = azure.push('mainly');
  payload.resource.refUpdates[0].name = 'refs/heads/main';
  expect(await settle(payload)).toMatchObject({ finding: 'stale', deployment: null });
});

test('whoever has the secret and invents a push has nothing deployed: another commit, repository or project is confirmed by nobody', async () => {
  azure.commit(bundle('invented'));
  const payload = azure.push();
  const bent = (edit: (resource: AnyDocument) => void) => {
    const copy = structuredClone(payload);
    edit(copy.resource);
    return copy;
  };
  const connections = await quiet();
  for (const wrong of [
    bent((one) => (one.refUpdates[0].newObjectId = 'f'.repeat(40))),
    bent((one) => (one.repository.project.id = '00000000-0000-0000-0000-00000000abcd')),
  ])
    expect(await settle(wrong)).toMatchObject({ finding: 'stale', deployment: null });
  const elsewhere = bent((one) => (one.repository.id = '00000000-0000-0000-0000-00000000abcd'));
  expect(await post(deliverFromAzure(elsewhere, SECRET))).toMatchObject({
    status: 200,
    document: { outcome: 'ignored', reason: expect.stringContaining('No source') },
  });
  expect(relay.connections.length).toBe(connections);
  expect(await exists('invented')).toBe(false);
});

test('a pull request is rehearsed, and told by its status and in one thread that is changed, not repeated, whoever else writes its mark', async () => {
  const request = { status: 'active', sha: azure.commit(bundle('proposed'), 'feature'), source: 'feature', target: 'main' };
  azure.pullRequests.set(4, request);
  const mark = '<!-- weft rehearsal: db/shop to shop -->';
  azure.threads.push({ id: 1, number: 4, status: 'active', comments: [{ id: 1, author: { id: 'somebody' }, content: `${mark}\nmine` }] });
  expect(await settle(azure.pullRequest(4))).toMatchObject({ finding: 'told', state: 'succeeded' });
  expect(azure.threads.at(-1)).toMatchObject({ status: 'closed', comments: [{ content: expect.stringContaining('rolled back') }] });
  request.sha = azure.commit(bundle('proposed', "insert into proposed values ('a');"), 'feature');
  expect(await settle(azure.pullRequest(4, 'git.pullrequest.updated'))).toMatchObject({ finding: 'told', state: 'failed' });
  expect(await exists('proposed')).toBe(false);
  const [foreign, ...own] = azure.threads;
  expect([foreign.comments[0].content, own.length]).toEqual([`${mark}\nmine`, 1]);
  expect(own[0]).toMatchObject({ status: 'active', comments: [{ content: expect.stringContaining('`db/shop/2.sql`') }] });
  expect(azure.pullRequestStatuses.map(({ number, iterationId, state }) => [number, iterationId, state])).toEqual([
    [4, 2, 'pending'],
    [4, 2, 'succeeded'],
    [4, 2, 'pending'],
    [4, 2, 'failed'],
  ]);
});

test('a pull request that has become one of a fork, goes elsewhere, is closed or has another head by now is not rehearsed', async () => {
  const right = { status: 'active', sha: azure.commit(bundle('turned'), 'turned'), source: 'turned', target: 'main' };
  azure.pullRequests.set(6, right);
  const payload = azure.pullRequest(6);
  for (const change of [{ forkSource: { repository: { id: 'x' } } }, { target: 'other' }, { status: 'abandoned' }, { sha: 'e'.repeat(40) }]) {
    azure.pullRequests.set(6, { ...right, ...change });
    expect(await settle(payload)).toMatchObject({ finding: 'stale', deployment: null });
  }
  azure.pullRequests.set(6, right);
  // The branch has been pushed to, and Azure DevOps has not looked at the pull request since.
  azure.commit(bundle('turned_again'), 'turned');
  expect(await settle(payload)).toMatchObject({ finding: 'stale', deployment: null });
});

test('nothing of a fork, of a closed pull request, of a build that failed or is for a pull request, no other event, no half of one: ignored with 200', async () => {
  const sha = azure.commit(bundle('ignored'), 'release/0');
  azure.pullRequests.set(5, { status: 'active', sha, source: 'release/0', target: 'main', forkSource: { repository: { id: 'x' } } });
  azure.pullRequests.set(7, { status: 'completed', sha, source: 'release/0', target: 'main' });
  const wrong: object[] = [
    { result: 'failed' },
    { status: 'inProgress' },
    { reason: 'pullRequest' },
    { sourceBranch: 'refs/pull/5/merge' },
    { definition: { id: 13 } },
    { repository: { id: 'octo/shop', type: 'GitHub' } },
  ];
  for (const [index, change] of wrong.entries()) azure.builds.set(70 + index, buildOf(70 + index, sha, 'release/0', change));
  const asked = azure.asked.length;
  const push = azure.push();
  const payloads = [
    azure.pullRequest(5),
    azure.pullRequest(7),
    azure.pullRequest(5, 'git.pullrequest.merged'),
    ...wrong.map((_, index) => azure.build(70 + index)),
    azure.push('gone'),
    { ...push, resource: { ...push.resource, refUpdates: [{ name: 'refs/tags/v1', newObjectId: sha }] } },
    { ...push, resource: { url: 'https://elsewhere.example.com' } },
    { ...push, eventType: 'workitem.created' },
    { ...push, id: 'no guid' },
    {},
  ];
  for (const payload of payloads) expect(await post(deliverFromAzure(payload, SECRET))).toMatchObject({ status: 200, document: { outcome: 'ignored' } });
  expect(azure.asked.length).toBe(asked);
});

test('a build that has succeeded deploys the head of its branch, and one that is started by hand does so again', async () => {
  const sha = azure.commit(bundle('built'), 'release/1.0');
  azure.builds.set(80, buildOf(80, sha, 'release/1.0'));
  azure.builds.set(81, buildOf(81, sha, 'release/1.0', { reason: 'manual' }));
  expect(await settle(azure.build(80))).toMatchObject({ finding: 'told', state: 'succeeded' });
  expect(await exists('built')).toBe(true);
  expect(await settle(azure.build(81))).toMatchObject({ finding: 'told', state: 'succeeded' });
  await settle(azure.build(80));
  expect(await countOf('built')).toBe(2);
});

test('a failure is told at its commit, by file and line, without what stands in rows', async () => {
  const sha = azure.commit(bundle('failing', 'insert into failing values (1);\n\ninsert into failing values (471142), (471142);\n'));
  expect(await settle(azure.push())).toMatchObject({ finding: 'told', state: 'failed' });
  const description = expect.stringContaining('failing failed at shop. db/shop/2.sql:3: 23505');
  expect(azure.statuses.filter((one) => one.sha === sha).at(-1)).toMatchObject({ state: 'failed', description });
  expect(JSON.stringify(azure.statuses)).not.toContain('471142');
});

test('a forge that takes no more requests for now is asked again by the queue', async () => {
  azure.commit(bundle('patient'));
  azure.fail({ path: /trees/, status: 429, headers: { 'retry-after': '1' } });
  expect(await settle(azure.push())).toMatchObject({ finding: 'told', state: 'succeeded', looks: 2 });
});

test('the page to sign in, with which a token that has expired is answered, is taken for no answer', async () => {
  const sha = azure.commit(bundle('expired'));
  azure.fail({ path: /refs/, status: 203 });
  const told = await settle(azure.push());
  expect(told).toMatchObject({
    finding: 'told',
    deployment: null,
    errors: [{ slug: 'forge_refused', message: expect.stringContaining('it may have expired') }],
  });
  expect(azure.statuses.filter((one) => one.sha === sha)).toMatchObject([{ state: 'failed' }]);
});

test('a thread that somebody has taken away is made again, and what Azure DevOps refuses of it takes nothing from the rest', async () => {
  const sha = azure.commit(bundle('threaded'), 'threaded');
  azure.pullRequests.set(8, { status: 'active', sha, source: 'threaded', target: 'main' });
  await settle(azure.pullRequest(8));
  const [thread] = azure.threads.filter(({ number }) => number === 8);
  Object.assign(thread, { isDeleted: true });
  await settle(azure.pullRequest(8, 'git.pullrequest.updated'));
  expect(azure.threads.filter(({ number, isDeleted }) => number === 8 && !isDeleted)).toHaveLength(1);
  azure.fail({ path: /threads$/, status: 403 });
  expect(await settle(azure.pullRequest(8, 'git.pullrequest.updated'))).toMatchObject({ finding: 'untold', errors: [{ slug: 'forge_refused' }] });
  expect(azure.pullRequestStatuses.filter(({ number }) => number === 8).at(-1)).toMatchObject({ state: 'succeeded' });
});

test('three hundred files are asked for as often as three', async () => {
  const questions = async (name: string, files: number) => {
    azure.commit({ ...bundle(name), ...Object.fromEntries(Array.from({ length: files }, (_, n) => [`db/shop/${1000 + n}.sql`, `select ${n};\n`])) });
    const from = azure.asked.length;
    expect(await settle(azure.push())).toMatchObject({ finding: 'told', state: 'succeeded', looks: 1 });
    return azure.asked.slice(from);
  };
  const few = await questions('few', 3);
  expect((await questions('many', 300)).length).toBe(few.length);
  // With what Cloudflare's free plan allows of them.
  expect(few.length).toBeLessThan(20);
});

test('a bundle that is too large to be held is fetched once more for the bytes that run, and its large files come by themselves', async () => {
  azure.commit({ ...bundle('large', 'insert into large values (1);\n'), 'db/shop/large.txt': `${'x'.repeat(99)}\n`.repeat(95_000) });
  const from = azure.asked.length;
  expect(await settle(azure.push())).toMatchObject({ finding: 'told', state: 'succeeded' });
  expect(await sql(database.url, 'select n from large')).toEqual([{ n: 1 }]);
  const fetched = azure.asked.slice(from).filter((line) => line.includes('/blobs'));
  expect(fetched.map((line) => line.replace(/[0-9a-f]{40}$/, 'ID').replace(/^(\w+) .*\/blobs/, '$1 blobs'))).toEqual([
    'GET blobs/ID',
    'POST blobs',
    'POST blobs',
  ]);
});

test('files that are not those of git are not run, and the commit says so', async () => {
  const sha = azure.commit(bundle('swapped'));
  azure.bendZip((files) =>
    files.map((file) =>
      Buffer.from(file.content).includes('create') ? { ...file, content: Buffer.from('create table swapped (m int primary key);\n') } : file,
    ),
  );
  expect(await settle(azure.push())).toMatchObject({ finding: 'told', deployment: null });
  expect(azure.statuses.filter((one) => one.sha === sha).at(-1)).toMatchObject({ state: 'failed' });
  expect(await exists('swapped')).toBe(false);
});

type Sent = ReturnType<typeof deliverFromAzure>;
const header =
  (name: string, edit: (given: string) => string | undefined) =>
  ({ headers, body }: Sent): Sent => {
    const { [name]: given = '', ...others } = headers;
    const value = edit(given);
    return { body, headers: value === undefined ? others : { ...others, [name]: value } };
  };
const bend = (text: string, at: number) => `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

test.each([
  ['no token', 'header', header('x-weft-token', () => undefined), 'unsigned'],
  ['an empty token', 'header', header('x-weft-token', () => ''), 'unsigned'],
  ['a token bent', 'header', header('x-weft-token', (given) => bend(given, 5)), 'signature_mismatch'],
  ['a token cut', 'header', header('x-weft-token', (given) => given.slice(0, -1)), 'signature_mismatch'],
  ['a token doubled', 'header', header('x-weft-token', (given) => given + given), 'signature_mismatch'],
  ['a token twice with a comma', 'header', header('x-weft-token', (given) => `${given}, ${given}`), 'signature_mismatch'],
  ['a token in other letters', 'header', header('x-weft-token', (given) => given.toUpperCase()), 'signature_mismatch'],
  ['a token of GitLab’s', 'header', ({ body }: Sent) => ({ body, headers: { 'x-gitlab-token': SECRET } }), 'unsigned'],
  ['both proofs', 'header', header('authorization', () => basic('weft', SECRET)), 'unsigned'],
  ['no password', 'basic', header('authorization', () => undefined), 'unsigned'],
  ['an empty password', 'basic', header('authorization', () => basic('weft', '')), 'signature_mismatch'],
  ['another user', 'basic', header('authorization', () => basic('Weft', SECRET)), 'signature_mismatch'],
  ['no user', 'basic', header('authorization', () => basic('', SECRET)), 'signature_mismatch'],
  ['a password bent', 'basic', header('authorization', (given) => bend(given, 20)), 'signature_mismatch'],
  ['a password cut', 'basic', header('authorization', () => basic('weft', SECRET.slice(0, -1))), 'signature_mismatch'],
  ['a password doubled', 'basic', header('authorization', () => basic('weft', SECRET + SECRET)), 'signature_mismatch'],
  ['a header twice with a comma', 'basic', header('authorization', (given) => `${given}, ${given}`), 'unsigned'],
  ['the secret as a bearer token', 'basic', header('authorization', () => `Bearer ${SECRET}`), 'unsigned'],
  ['the secret bare', 'basic', header('authorization', () => SECRET), 'unsigned'],
  ['base64 that is written in another way', 'basic', header('authorization', (given) => `${given}=`), 'signature_mismatch'],
] as const)('one thing is wrong, %s: 401, and nobody is asked', async (_name, by, edit, slug) => {
  const asked = azure.asked.length;
  const sent = edit(deliverFromAzure(azure.push(), SECRET, by));
  expect(await post(sent)).toMatchObject({ status: 401, document: { type: `urn:weft:problem:${slug}` } });
  expect(azure.asked.length).toBe(asked);
});
