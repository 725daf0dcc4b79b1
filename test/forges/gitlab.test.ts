/** The whole way with GitLab: from its webhooks, proved in the new way and the old, to a real PostgreSQL, and back to GitLab's people. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type LocalWorker, startWorker } from '../../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { generateSecret } from '../../src/trust/sign.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { deliverFromGitLab, GITLAB_TOKEN, type GitLab, startGitLab } from '../support/gitlab.ts';
import { sql } from '../support/sql.ts';

const SIGNING = generateSecret();
const TOKEN = 'an-older-secret-token-of-the-tests';

let gitlab: GitLab;
let worker: LocalWorker;
let relay: Relay;
let database: TestDatabase;
const lines: string[] = [];

beforeAll(async () => {
  [gitlab, database] = await Promise.all([startGitLab(), emptyDatabase()]);
  const { hostname: host, port } = new URL(database.url);
  relay = await startRelay({ to: { host, port: Number(port) } });
  const source = { forge: 'lab', repository_id: String(gitlab.project.id), folder: 'db', target: 'shop' };
  worker = await startWorker({
    entry: join(import.meta.dirname, '..', 'worker', 'mortal_entry.ts'),
    config: {
      targets: { shop: { database: 'SHOP_URL', transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true } },
      callers: { lab: { forge: { kind: 'gitlab', webhook_secrets: ['SIGNING', 'TOKEN'], api: gitlab.api, token: 'API_TOKEN' } } },
      grants: [{ caller: 'lab', targets: ['shop'], actions: ['deploy'] }],
      sources: [
        { ...source, event: 'push', branch: 'main' },
        { ...source, event: 'merge_request', branch: 'main' },
        { ...source, event: 'pipeline', branch: 'release/*' },
        { ...source, event: 'deployment', environment: 'production' },
      ],
    },
    secrets: { SHOP_URL: database.url, SIGNING, TOKEN, API_TOKEN: GITLAB_TOKEN, LIFE_SECONDS: 600, PAUSE_SECONDS: 1 },
    aftercare: { queue: true },
    onLog: (line) => lines.push(line),
  });
});
afterAll(async () => {
  await worker?.stop();
  await Promise.all([gitlab?.stop(), relay?.stop()]);
  await database?.drop();
});
afterEach(() => {
  expect(gitlab.faults).toEqual([]);
  const told = JSON.stringify([gitlab.notes, gitlab.statuses, gitlab.commitComments, lines]);
  for (const secret of [new URL(database.url).password, TOKEN, SIGNING, GITLAB_TOKEN]) expect(told).not.toContain(secret);
});

// biome-ignore lint/suspicious/noExplicitAny: a test looks into documents freely
type AnyDocument = any;

async function post({ headers, body }: { headers: Record<string, string>; body: string }): Promise<{ status: number; document: AnyDocument }> {
  const answer = await worker.fetch('/webhooks/gitlab', { method: 'POST', headers, body });
  return { status: answer.status, document: await answer.json() };
}

/** Sends a webhook, and waits until there is nothing left to do for it. */
async function settle(payload: object, secret = SIGNING): Promise<AnyDocument> {
  const from = lines.length;
  const { status, document } = await post(deliverFromGitLab(payload, secret));
  expect([status, document.outcome], JSON.stringify(document)).toEqual([202, 'accepted']);
  const last = () =>
    lines
      .slice(from)
      .map((line) => JSON.parse(line) as AnyDocument)
      .findLast(({ message, delivery }) => message === 'change' && delivery === document.delivery);
  await expect.poll(() => last()?.again_seconds, { timeout: 40_000 }).toBeNull();
  return last();
}

const bundle = (name: string, more = '') => ({
  'README.md': 'beside',
  'db/weft.yaml': `name: ${name}\nphases: [{ name: main, transaction: per-step, steps: [{ run: "*.sql" }] }]\n`,
  'db/1.sql': `create table ${name} (n int primary key);\n`,
  ...(more === '' ? {} : { 'db/2.sql': more }),
});
const exists = async (table: string) => (await sql(database.url, `select to_regclass('public.${table}') is not null as is_there`))[0].is_there;

describe.each([
  ['a signing token', SIGNING],
  ['an older secret token', TOKEN],
])('proved by %s', (_name, secret) => {
  const name = secret === SIGNING ? 'signed' : 'by_token';
  test('a push is confirmed, fetched, deployed, and told as a commit status', async () => {
    const sha = gitlab.commit(bundle(name));
    expect(await settle(gitlab.push(), secret)).toMatchObject({ finding: 'told', state: 'succeeded' });
    expect(await exists(name)).toBe(true);
    expect(gitlab.statuses.filter((one) => one.sha === sha)).toMatchObject([
      { name: 'weft: db to shop', state: 'running' },
      { name: 'weft: db to shop', state: 'success', description: `${name} is deployed to shop` },
    ]);
    const [row] = await sql(database.url, `select caller, signature from weft._deployments where bundle = '${name}'`);
    expect(row).toMatchObject({ caller: 'lab', signature: { webhook_of: 'gitlab', event: 'push', repository: 'octo/shop' } });
    expect(JSON.stringify(row)).not.toContain(secret);
  });
});

test('an old webhook, sent again, wakes no database and is told nowhere', async () => {
  const old = gitlab.commit(bundle('captured'));
  const payload = gitlab.push();
  gitlab.commit(bundle('newer'));
  expect(await settle(payload, TOKEN)).toMatchObject({ finding: 'stale', deployment: null });
  expect(gitlab.statuses.filter(({ sha }) => sha === old)).toEqual([]);
  expect(await exists('captured')).toBe(false);
});

test('a merge request is rehearsed, and told in one note that is changed, not repeated, whoever else writes its mark', async () => {
  const request = { state: 'opened', sha: gitlab.commit(bundle('proposed'), 'feature'), source_project_id: gitlab.project.id, target_branch: 'main' };
  gitlab.mergeRequests.set(4, request);
  gitlab.notes.push({ id: 1, iid: 4, author: { id: 99 }, system: false, body: '<!-- weft rehearsal: db to shop -->\nmine' });
  expect(await settle(gitlab.mergeRequest(4))).toMatchObject({ finding: 'told', state: 'succeeded' });
  request.sha = gitlab.commit(bundle('proposed', "insert into proposed values ('a');"), 'feature');
  expect(await settle(gitlab.mergeRequest(4, { action: 'update', oldrev: 'a'.repeat(40) }))).toMatchObject({ finding: 'told', state: 'failed' });
  expect(await exists('proposed')).toBe(false);
  const [foreign, ...own] = gitlab.notes;
  expect([foreign.body, own.length]).toEqual([expect.stringContaining('mine'), 1]);
  expect(own[0].body).toContain('`db/2.sql`');
});

test('a merge request that is opened again is rehearsed anew', async () => {
  gitlab.mergeRequests.set(14, {
    state: 'opened',
    sha: gitlab.commit(bundle('reopened'), 'reopened'),
    source_project_id: gitlab.project.id,
    target_branch: 'main',
  });
  await settle(gitlab.mergeRequest(14));
  for (const updated_at of ['2026-11-29 15:00:00 UTC', '2026-11-29 15:00:00 UTC', '2026-11-29T16:00:00Z'])
    await settle(gitlab.mergeRequest(14, { action: 'reopen', updated_at }));
  expect(await sql(database.url, `select count(*)::int as n from weft.deployments where bundle = 'reopened'`)).toEqual([{ n: 3 }]);
});

test('nothing of a fork, no other action, no pipeline that failed or is for a merge request, no deployment of a job: ignored with 200', async () => {
  const sha = gitlab.commit(bundle('forked'), 'release/0');
  gitlab.mergeRequests.set(5, { state: 'opened', sha, source_project_id: 666, target_branch: 'main' });
  gitlab.deployments.push({ id: 60, sha, ref: 'main', status: 'running', environment: { name: 'production' } });
  for (const [id, change] of [
    [70, { status: 'failed' }],
    [71, { source: 'merge_request_event' }],
    [72, { source: 'parent_pipeline' }],
  ] as const)
    gitlab.pipelines.set(id, { status: 'success', sha, ref: 'release/0', source: 'push', ...change });
  const asked = gitlab.asked.length;
  const payloads = [
    gitlab.mergeRequest(5),
    gitlab.mergeRequest(4, { action: 'approved' }),
    gitlab.mergeRequest(4, { action: 'update' }),
    ...[70, 71, 72].map((id) => gitlab.pipeline(id)),
    gitlab.deployment(60, { deployable_id: 9 }),
    gitlab.deployment(60, { status: 'success' }),
    { object_kind: 'push', ref: 'refs/heads/main' },
    { object_kind: 'tag_push' },
    {},
  ];
  for (const payload of payloads) expect(await post(deliverFromGitLab(payload, SIGNING))).toMatchObject({ status: 200, document: { outcome: 'ignored' } });
  expect(gitlab.asked.length).toBe(asked);
});

test('a pipeline that has succeeded deploys the head of its branch', async () => {
  const sha = gitlab.commit(bundle('built'), 'release/1.0');
  gitlab.pipelines.set(80, { status: 'success', sha, ref: 'release/1.0', source: 'push' });
  expect(await settle(gitlab.pipeline(80))).toMatchObject({ finding: 'told', state: 'succeeded' });
  expect(await exists('built')).toBe(true);
});

test('a deployment that was made through the API has its status', async () => {
  const sha = gitlab.commit(bundle('asked_for'));
  gitlab.deployments.push({ id: 61, sha, ref: 'main', status: 'running', environment: { name: 'production' } });
  expect(await settle(gitlab.deployment(61))).toMatchObject({ finding: 'told', state: 'succeeded' });
  expect(gitlab.deployments.find(({ id }) => id === 61)?.status).toBe('success');
});

test('a failure is told at its commit, by file and line, without what stands in rows', async () => {
  const sha = gitlab.commit(bundle('failing', 'insert into failing values (1);\n\ninsert into failing values (471142), (471142);\n'));
  expect(await settle(gitlab.push())).toMatchObject({ finding: 'told', state: 'failed' });
  expect(gitlab.commitComments.filter((one) => one.sha === sha)).toMatchObject([{ note: expect.stringContaining('`db/2.sql`, line 3') }]);
  expect(JSON.stringify(gitlab.commitComments)).not.toContain('471142');
});

test('a forge that takes no more requests for now is asked again by the queue', async () => {
  gitlab.commit(bundle('patient'));
  gitlab.fail({ path: /archive/, status: 429, headers: { 'retry-after': '1' } });
  expect(await settle(gitlab.push())).toMatchObject({ finding: 'told', state: 'succeeded', looks: 2 });
});

type Sent = ReturnType<typeof deliverFromGitLab>;
const header =
  (name: string, edit: (given: string) => string | undefined) =>
  ({ headers, body }: Sent): Sent => {
    const { [name]: given = '', ...others } = headers;
    const value = edit(given);
    return { body, headers: value === undefined ? others : { ...others, [name]: value } };
  };
const bend = (text: string, at: number) => `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;

test.each([
  ['no signature', SIGNING, header('webhook-signature', () => undefined), 'unsigned'],
  ['no id', SIGNING, header('webhook-id', () => undefined), 'unsigned'],
  ['no time', SIGNING, header('webhook-timestamp', () => undefined), 'unsigned'],
  ['another id', SIGNING, header('webhook-id', (given) => bend(given, 3)), 'signature_mismatch'],
  ['another time', SIGNING, header('webhook-timestamp', (given) => String(Number(given) - 1)), 'signature_mismatch'],
  ['a signature bent at its beginning', SIGNING, header('webhook-signature', (given) => bend(given, 3)), 'signature_mismatch'],
  ['a signature cut', SIGNING, header('webhook-signature', (given) => given.slice(0, -5)), 'signature_mismatch'],
  ['a signature twice with a comma', SIGNING, header('webhook-signature', (given) => `${given}, ${given}`), 'unsigned'],
  ['a byte of the body bent', SIGNING, ({ headers, body }: Sent) => ({ headers, body: body.replace('main', 'maim') }), 'signature_mismatch'],
  ['the body doubled', SIGNING, ({ headers, body }: Sent) => ({ headers, body: body + body }), 'signature_mismatch'],
  ['the secret itself where a signature should be', SIGNING, ({ body }: Sent) => ({ headers: { 'x-gitlab-token': SIGNING }, body }), 'signature_mismatch'],
  ['a token beside half a signature', TOKEN, header('webhook-id', () => 'x'), 'unsigned'],
  ['no token', TOKEN, header('x-gitlab-token', () => undefined), 'unsigned'],
  ['an empty token', TOKEN, header('x-gitlab-token', () => ''), 'unsigned'],
  ['a token bent', TOKEN, header('x-gitlab-token', (given) => bend(given, 5)), 'signature_mismatch'],
  ['a token cut', TOKEN, header('x-gitlab-token', (given) => given.slice(0, -1)), 'signature_mismatch'],
  ['a token doubled', TOKEN, header('x-gitlab-token', (given) => given + given), 'signature_mismatch'],
  ['a token in other letters', TOKEN, header('x-gitlab-token', (given) => given.toUpperCase()), 'signature_mismatch'],
] as const)('one thing is wrong, %s: 401, and nobody is asked', async (_name, secret, edit, slug) => {
  const asked = gitlab.asked.length;
  expect(await post(edit(deliverFromGitLab(gitlab.push(), secret)))).toMatchObject({ status: 401, document: { type: `urn:weft:problem:${slug}` } });
  expect(gitlab.asked.length).toBe(asked);
});

test('a signature that is too old proves nothing', async () => {
  const nowSeconds = Math.floor(Date.now() / 1000) - 301;
  expect(await post(deliverFromGitLab(gitlab.push(), SIGNING, nowSeconds))).toMatchObject({ status: 401, document: { type: 'urn:weft:problem:stale' } });
});
