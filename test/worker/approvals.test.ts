/**
 * A second person, the whole way: the Worker in workerd, a real database, a caller with a key who deploys, another who approves, and a job of GitHub
 * in an environment, which starts only when its reviewers have said so.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateSecret } from '../../src/trust/sign.ts';
import { DEPLOYMENTS, type Document, digestOf, inlineFiles, manifestOf } from '../http/requests.ts';
import { githubClaims, type Issuer, startIssuer } from '../support/issuer.ts';
import { type AnyDocument, openWorld, type World } from './support.ts';

const BOSS_SECRET = generateSecret();
const WAIT = { prefer: 'wait=30' };
const reviewed = { kind: 'github', repository_id: '123456789', repository_owner_id: '9919', environment: 'production' };

let world: World;
let issuer: Issuer;
const folder = mkdtempSync(join(tmpdir(), 'weft-approvals-'));

beforeAll(async () => {
  issuer = await startIssuer();
  world = await openWorld({
    aftercare: { queue: true, memory: folder },
    variables: { BOSS_SECRET },
    more: {
      environment: { second_person: true },
      callers: { boss: { secrets: ['BOSS_SECRET'] }, reviewed: { identity: { ...reviewed, issuer: `${issuer.origin}/github` } } },
      grants: [
        { caller: 'ci', targets: ['staging'], actions: ['approve'] },
        { caller: 'boss', targets: ['staging'], actions: ['approve', 'read'] },
        { caller: 'reviewed', targets: ['staging'], actions: ['approve', 'read'] },
      ],
    },
  });
});
afterAll(async () => {
  await world?.stop();
  await issuer?.stop();
  rmSync(folder, { recursive: true, force: true });
});

let count = 0;
async function deploy(changes: Document = {}): Promise<{ answer: Response; document: AnyDocument }> {
  count += 1;
  const request = world.requests.makeRequest({
    files: inlineFiles({ [`${count}.sql`]: `create table made_${count} (id int);` }),
    folder: `shop${count}`,
    ...changes,
  });
  return world.send(DEPLOYMENTS, await world.requests.post(request, { headers: WAIT }));
}

const wishOf = ({ id, approval }: AnyDocument, changes: Document = {}) =>
  world.requests.makeRequest({ type: 'approve', deployment: id, digest: approval.digest, ...changes });

async function approve(
  waiting: AnyDocument,
  changes: Document = {},
  secret: string | undefined = BOSS_SECRET,
): Promise<{ answer: Response; document: AnyDocument }> {
  const init = await world.requests.post(wishOf(waiting, changes), { headers: WAIT, secret });
  return world.send(`${DEPLOYMENTS}/${waiting.id}/approve`, init);
}

const read = async (id: string) => (await world.send(`${DEPLOYMENTS}/${id}`, { headers: await world.requests.bearer() })).document;
const looks = () => world.lines.map((line) => JSON.parse(line)).filter(({ message }) => message === 'look_after');

describe('a deployment to an environment that asks for a second person', () => {
  test('is answered at once with 202 and what waits for whom, is run by nobody, and nobody looks after it meanwhile', async () => {
    const { answer, document } = await deploy();
    expect(answer.status).toBe(202);
    expect(document).toMatchObject({
      state: 'open',
      missing: [],
      approval: { environment: 'live', not_by: 'ci', waits: true, by: null, digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    const resumed = await world.send(
      `${DEPLOYMENTS}/${document.id}/resume`,
      await world.requests.post(world.requests.makeRequest({ type: 'resume', deployment: document.id }), { headers: WAIT }),
    );
    expect(resumed).toMatchObject({ answer: { status: 202 }, document: { state: 'open' } });
    await expect.poll(() => world.openSessions()).toBe(0);
    expect(await world.count(`pg_tables where tablename = 'made_${count}'`)).toBe(0);
    expect(looks().filter(({ deployment, again_seconds }) => deployment === document.id && again_seconds !== null)).toEqual([]);
  });

  test('is run when another caller approves its digest, who stands in its receipt with what proves it', async () => {
    const { document: waiting } = await deploy();
    const { answer, document } = await approve(waiting);
    expect(answer.status).toBe(200);
    expect(document).toMatchObject({ id: waiting.id, state: 'succeeded', approval: { by: 'boss' } });
    expect(await world.count(`made_${count}`)).toBe(0);
    const receipt = await world.send(`${DEPLOYMENTS}/${waiting.id}/receipt`, { headers: await world.requests.bearer() });
    expect(receipt.document.approval).toMatchObject({
      by: 'boss',
      digest: waiting.approval.digest,
      request_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      signature_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const { rows } = await world.client.query(
      `select convert_from(request, 'UTF8')::jsonb ->> 'type' as type, signature is not null as is_signed from weft._approvals where deployment_id = $1`,
      [waiting.id],
    );
    expect(rows).toEqual([{ type: 'approve', is_signed: true }]);
    // the same again, as a redelivery
    expect(await approve(waiting)).toMatchObject({ answer: { status: 200 }, document: { state: 'succeeded', approval: { by: 'boss' } } });
  });

  test('is not approved by whoever opened it, though it may approve what others open', async () => {
    const { document: waiting } = await deploy();
    const { answer, document } = await approve(waiting, {}, world.secrets.ci);
    expect(answer.status).toBe(403);
    expect(document).toMatchObject({ type: 'urn:weft:problem:own_approval' });
    expect(await read(waiting.id)).toMatchObject({ state: 'open', approval: { by: null } });
  });

  test('is approved by two at the same time: one of them has, and it is run once', async () => {
    const { document: waiting } = await deploy();
    const both = await Promise.all([approve(waiting), approve(waiting)]);
    expect(both.map(({ document }) => document.state)).toEqual(['succeeded', 'succeeded']);
    expect(await world.count(`weft.events where deployment_id = '${waiting.id}' and kind in ('approved', 'started')`)).toBe(2);
  });

  test.each<[string, (waiting: AnyDocument) => Document, number, string]>([
    ['of another digest', () => ({ digest: '0'.repeat(64) }), 409, 'not_approved'],
    ['without a digest', () => ({ digest: undefined }), 422, 'invalid_request'],
    ['signed to cancel', () => ({ type: 'cancel', digest: undefined }), 403, 'wrong_type'],
    ['signed for another deployment', () => ({ deployment: crypto.randomUUID() }), 403, 'wrong_deployment'],
  ])('an approval %s is refused', async (_, changes, status, slug) => {
    const { document: waiting } = await deploy();
    expect(await approve(waiting, changes(waiting))).toMatchObject({ answer: { status }, document: { type: `urn:weft:problem:${slug}` } });
    expect(await read(waiting.id)).toMatchObject({ state: 'open', approval: { by: null } });
  });

  test('of an unknown deployment, or of one that is over, no approval is taken', async () => {
    const { document: waiting } = await deploy();
    const unknown = { ...waiting, id: crypto.randomUUID() };
    expect(await approve(unknown)).toMatchObject({ answer: { status: 404 } });
    await world.send(`${DEPLOYMENTS}/${waiting.id}/cancel`, await world.requests.post(world.requests.makeRequest({ type: 'cancel', deployment: waiting.id })));
    expect(await approve(waiting)).toMatchObject({ answer: { status: 409 }, document: { type: 'urn:weft:problem:not_approved' } });
  });

  test('a caller without the grant to approve reaches no database', async () => {
    const { document: waiting } = await deploy();
    await expect.poll(() => world.openSessions()).toBe(0);
    const before = world.relay.connections.length;
    const refused = await world.send(`${DEPLOYMENTS}/${waiting.id}/approve`, await world.requests.post(wishOf(waiting), { secret: world.secrets.watcher }));
    expect(refused).toMatchObject({ answer: { status: 403 }, document: { type: 'urn:weft:problem:no_grant' } });
    expect(world.relay.connections).toHaveLength(before);
  });

  test('a rehearsal waits for nobody, an undo does', async () => {
    expect(await deploy({ mode: 'rehearse' })).toMatchObject({ document: { state: 'succeeded', approval: null } });
    const { document: waiting } = await deploy({
      files: inlineFiles({
        'weft.yaml': 'name: undone\nphases: [{ name: main, steps: [{ run: up.sql, undo: down.sql }] }]\n',
        'up.sql': 'create table undone (n int);',
        'down.sql': 'drop table undone;',
      }),
    });
    await approve(waiting);
    const undo = await world.send(
      `${DEPLOYMENTS}/${waiting.id}/undo`,
      await world.requests.post(world.requests.makeRequest({ type: 'undo', deployment: waiting.id }), { headers: WAIT }),
    );
    expect(undo).toMatchObject({ answer: { status: 202 }, document: { state: 'open', undoes: waiting.id, approval: { waits: true, not_by: 'ci' } } });
    expect(await approve(undo.document)).toMatchObject({ document: { state: 'succeeded', undoes: waiting.id, approval: { by: 'boss' } } });
  });

  test('an approval without a wait is answered at once, and the deployment goes on', async () => {
    const { document: waiting } = await deploy();
    const { answer } = await world.send(`${DEPLOYMENTS}/${waiting.id}/approve`, await world.requests.post(wishOf(waiting), { secret: BOSS_SECRET }));
    expect([200, 202]).toContain(answer.status);
    await expect.poll(async () => (await read(waiting.id)).state, { timeout: 20_000 }).toBe('succeeded');
  });
});

describe('the reviewers of an environment of GitHub', () => {
  const jobOf = (body: string, changes: Document = {}) =>
    issuer.sign({ ...githubClaims(`${issuer.origin}/github`, `${world.worker.origin}/sha256:${digestOf(body)}`, Math.floor(Date.now() / 1000)), ...changes });
  const send = async (waiting: AnyDocument, changes: Document) => {
    const body = JSON.stringify(wishOf(waiting));
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${await jobOf(body, changes)}`, ...WAIT };
    return world.send(`${DEPLOYMENTS}/${waiting.id}/approve`, { method: 'POST', body, headers });
  };

  test('approve by a job in it, which brings the token of that environment, for one deployment and one digest', async () => {
    const { document: waiting } = await deploy();
    expect(await send(waiting, { environment: 'staging' })).toMatchObject({ answer: { status: 401 } });
    expect(await send(waiting, { environment: undefined })).toMatchObject({ answer: { status: 401 } });
    expect(await send(waiting, {})).toMatchObject({ answer: { status: 200 }, document: { state: 'succeeded', approval: { by: 'reviewed' } } });
    const { rows } = await world.client.query('select signature from weft._approvals where deployment_id = $1', [waiting.id]);
    expect(rows[0].signature).toMatchObject({ proof: 'identity', run_id: '777', actor: 'mona' });
  });
});

test('a plan says what the environment will ask', async () => {
  const question = { manifest: manifestOf({ '1.sql': 'select 1;' }), texts: {} };
  const headers = { 'content-type': 'application/json', ...(await world.requests.bearer()) };
  const { document } = await world.send('/v1/targets/staging/plan', { method: 'POST', body: JSON.stringify(question), headers });
  expect(document.protection).toEqual({ environment: 'live', second_person: true, rehearsal_first: false });
});
