/** Keyless, the whole way: an issuer with real keys, the Worker in workerd, a database behind a relay that counts who comes there. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { generateSecret } from '../../src/trust/sign.ts';
import { DEPLOYMENTS, type Document, digestOf, inlineFiles, manifestOf } from '../http/requests.ts';
import { azureClaims, githubClaims, gitlabClaims, type Issuer, startIssuer, WRONG_TIMES } from '../support/issuer.ts';
import { type AnyDocument, openWorld, type World } from './support.ts';

const SUB = '/eid1/c/pub/t/abc/a/def/sc/1111/2222';
const AZURE_SECRET = generateSecret();
const github = { kind: 'github', repository_id: '123456789', repository_owner_id: '9919', environment: 'production' };

let issuer: Issuer;
let world: World;
const folder = mkdtempSync(join(tmpdir(), 'weft-memory-'));

beforeAll(async () => {
  issuer = await startIssuer();
  const at = issuer.origin;
  world = await openWorld({
    aftercare: { memory: folder },
    variables: { AZURE_SECRET },
    more: {
      callers: {
        actions: { identity: { ...github, issuer: `${at}/github` } },
        lab: { identity: { kind: 'gitlab', issuer: at, project_id: '4711', namespace_id: '77' } },
        pipelines: { secrets: ['AZURE_SECRET'], identity: { kind: 'azure', issuer: `${at}/tenant/v2.0`, sub: SUB } },
      },
      grants: [
        { caller: 'actions', targets: ['staging'], actions: ['deploy', 'cancel', 'read'] },
        { caller: 'lab', targets: ['staging'], actions: ['deploy', 'read'] },
        { caller: 'pipelines', targets: ['staging'], actions: ['deploy', 'read'] },
      ],
    },
  });
});
afterAll(async () => {
  await world?.stop();
  await issuer?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const now = () => Math.floor(Date.now() / 1000);
const jobOf = (body: Uint8Array | string, changes: Document = {}) =>
  issuer.sign({ ...githubClaims(`${issuer.origin}/github`, `${world.worker.origin}/sha256:${digestOf(body)}`, now()), ...changes });
const reading = (changes: Document = {}) => issuer.sign({ ...githubClaims(`${issuer.origin}/github`, world.worker.origin, now()), ...changes });
const labToken = (changes: Document = {}) => issuer.sign({ ...gitlabClaims(issuer.origin, world.worker.origin, now()), ...changes });
const requestOf = (name: string, changes: Document = {}) =>
  world.requests.makeRequest({ files: inlineFiles({ [`${name}.sql`]: `create table ${name} (id int);` }), ...changes });

function post(body: string | Uint8Array<ArrayBuffer>, token: string, headers: Record<string, string> = {}) {
  const init = { method: 'POST', body, headers: { 'content-type': 'application/json', prefer: 'wait=30', authorization: `Bearer ${token}`, ...headers } };
  return world.send(DEPLOYMENTS, init);
}

/** What the log says of the refusal, when the answer is the bare one. */
async function reasonOf({ answer, document }: { answer: Response; document: AnyDocument }): Promise<string> {
  expect(document).toEqual({
    type: 'urn:weft:problem:identity_refused',
    title: 'The identity token is not accepted here.',
    status: 401,
    detail: "The identity token is not accepted here. The Worker's log says why.",
  });
  expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="weft", error="invalid_token"');
  const reasons = () => world.lines.map((line) => JSON.parse(line)).filter(({ message }) => message === 'identity_refused');
  await expect.poll(() => reasons().length, { timeout: 5000 }).toBe(++refusals);
  return reasons().at(-1).reason;
}

let refusals = 0;

describe('a job without any secret', () => {
  test('deploys with a token that was made for its request, and what proved it is kept', async () => {
    const body = JSON.stringify(requestOf('keyless'));
    const token = await jobOf(body);
    const { answer, document } = await post(body, token);
    expect(document).toMatchObject({ state: 'succeeded', caller: 'actions' });
    expect(answer.headers.get('location')).toBe(`${DEPLOYMENTS}/${document.id}`);
    const { rows } = await world.client.query('select caller, signature from weft._deployments where id = $1', [document.id]);
    expect(rows[0]).toMatchObject({ caller: 'actions', signature: { proof: 'identity', repository_id: '123456789', run_id: '777', actor: 'mona' } });
    expect(JSON.stringify(rows)).not.toContain(token.slice(-40));
    expect(world.lines.join('\n')).not.toContain(token.slice(-40));
    // the same again is the same deployment
    expect((await post(body, await jobOf(body))).document).toMatchObject({ id: document.id, repeated: true });
  });

  test('sends its files as a tar', async () => {
    const files = { '1.sql': 'create table keyless_tar (id int);' };
    const request = world.requests.makeRequest({ manifest: manifestOf(files, { bundle: 'keyless_tar' }) });
    const { body } = await world.requests.postTar(request, files);
    const { document } = await post(body, await jobOf(JSON.stringify(request)), { 'content-type': 'application/x-tar' });
    expect(document).toMatchObject({ state: 'succeeded', caller: 'actions' });
  });

  test('reads with a token that was made for this Worker', async () => {
    const body = JSON.stringify(requestOf('keyless_read'));
    const { document } = await post(body, await jobOf(body));
    const read = (token: string, path = `${DEPLOYMENTS}/${document.id}`) => world.send(path, { headers: { authorization: `Bearer ${token}` } });
    expect((await read(await reading())).document).toMatchObject({ id: document.id, state: 'succeeded' });
    expect((await read(await labToken())).document).toMatchObject({ id: document.id });
    expect(await reasonOf(await read(await jobOf(body)))).toBe('aud');
    expect((await read(await reading(), '/v1/targets/production/history')).document.type).toBe('urn:weft:problem:no_grant');
  });

  test('may do what is granted, and nothing else', async () => {
    const elsewhere = JSON.stringify(requestOf('elsewhere', { target: 'production' }));
    const init = { method: 'POST', body: elsewhere, headers: { 'content-type': 'application/json', authorization: `Bearer ${await jobOf(elsewhere)}` } };
    expect((await world.send('/v1/targets/production/deployments', init)).document.type).toBe('urn:weft:problem:no_grant');
    const id = '0190a0de-0000-7000-8000-00000000000b';
    const undo = JSON.stringify({ ...world.requests.makeRequest(), type: 'undo', deployment: id });
    const answer = await world.send(`${DEPLOYMENTS}/${id}/undo`, {
      ...init,
      body: undo,
      headers: { ...init.headers, authorization: `Bearer ${await jobOf(undo)}` },
    });
    expect(answer.document.type).toBe('urn:weft:problem:no_grant');
  });

  test('has no key to bind secrets with, and is told so', async () => {
    const body = JSON.stringify(requestOf('with_secrets', { secrets: { pin: 'a'.repeat(64) } }));
    const { document } = await post(body, await jobOf(body));
    expect(document.type).toBe('urn:weft:problem:invalid_request');
    expect(document.detail).toContain('there is no key to bind secrets with');
  });
});

describe('a token counts for one document', () => {
  test('the second is refused, though the token is genuine, also when another isolate asks', async () => {
    const token = await labToken();
    const first = JSON.stringify(requestOf('once'));
    expect((await post(first, token)).document).toMatchObject({ state: 'succeeded', caller: 'lab' });
    expect((await post(first, token)).document).toMatchObject({ repeated: true });
    const opened = world.relay.connections.length;
    const second = JSON.stringify(requestOf('twice'));
    expect(await reasonOf(await post(second, token))).toBe('used');
    await world.replaceWorker();
    expect(await reasonOf(await post(second, token))).toBe('used');
    expect(world.relay.connections).toHaveLength(opened);
  });
});

describe('a caller with a key and an identity', () => {
  test('brings both, or nothing is done', async () => {
    const request = requestOf('key_and_token');
    const body = JSON.stringify(request);
    const claims = azureClaims(`${issuer.origin}/tenant/v2.0`, SUB, now());
    const token = await issuer.sign(claims);
    const opened = world.relay.connections.length;
    const sign = (secret: string) => world.requests.sign(new TextEncoder().encode(body), String(request.id), { secret });
    expect(await reasonOf(await post(body, token))).toBe('signature missing');
    expect(await reasonOf(await post(body, token, await sign(world.requests.secrets.ci)))).toBe('two callers');
    expect((await post(body, token, await sign(world.requests.secrets.stranger))).document.type).toBe('urn:weft:problem:signature_mismatch');
    const { authorization: _, ...unproved } = { 'content-type': 'application/json', authorization: '', ...(await sign(AZURE_SECRET)) };
    expect(await reasonOf(await world.send(DEPLOYMENTS, { method: 'POST', body, headers: unproved }))).toBe('token missing');
    expect(world.relay.connections).toHaveLength(opened);
    const { document } = await post(body, token, await sign(AZURE_SECRET));
    expect(document).toMatchObject({ state: 'succeeded', caller: 'pipelines' });
    const { rows } = await world.client.query('select signature from weft._deployments where id = $1', [document.id]);
    expect(rows[0]?.signature).toMatchObject({ id: request.id, proof: 'identity', sub: SUB });
  });
});

describe('every wrong claim is refused alike, with a reason of its own in the log, and reaches no database', () => {
  let opened = 0;
  beforeEach(() => {
    opened = world.relay.connections.length;
  });
  const body = () => JSON.stringify(requestOf('never'));
  const claims: [name: string, changes: () => Document, reason: string][] = [
    ['another issuer', () => ({ iss: `${issuer.origin}/elsewhere` }), 'issuer'],
    ['another audience', () => ({ aud: world.worker.origin }), 'aud'],
    ['two audiences', () => ({ aud: [world.worker.origin, 'https://elsewhere.example.com'] }), 'aud'],
    ['another repository', () => ({ repository_id: '123456780' }), 'claim repository_id'],
    ['another repository of the same name', () => ({ repository_id: '5', repository: 'octo/shop' }), 'claim repository_id'],
    ['another owner', () => ({ repository_owner_id: '9918' }), 'claim repository_owner_id'],
    ['another environment', () => ({ environment: 'staging' }), 'claim environment'],
    ['no environment', () => ({ environment: undefined }), 'claim environment'],
    ['an id that is a number', () => ({ repository_id: 123456789 }), 'claim repository_id'],
    ...Object.entries(WRONG_TIMES(0)).map(([name], index): [string, () => Document, string] => [
      `one that ${name}`,
      () => Object.values(WRONG_TIMES(now()))[index]?.[0] ?? {},
      Object.values(WRONG_TIMES(0))[index]?.[1] ?? '',
    ]),
  ];
  test.each(claims)('%s', async (_name, changes, reason) => {
    const document = body();
    expect(await reasonOf(await post(document, await jobOf(document, changes())))).toBe(reason);
    expect(world.relay.connections).toHaveLength(opened);
  });

  test('another document than the one that it was made for', async () => {
    expect(await reasonOf(await post(body(), await jobOf(body())))).toBe('aud');
    expect(world.relay.connections).toHaveLength(opened);
  });

  test('a signature of another key, an algorithm that is none, and no token at all', async () => {
    const document = body();
    const stranger = await startIssuer();
    const forged = await stranger.sign(githubClaims(`${issuer.origin}/github`, `${world.worker.origin}/sha256:${digestOf(document)}`, now()));
    await stranger.stop();
    expect(await reasonOf(await post(document, forged))).toBe('signature');
    const [, payload = ''] = forged.split('.');
    const none = Buffer.from('{"alg":"none","kid":"key-1"}').toString('base64url');
    expect(await reasonOf(await post(document, `${none}.${payload}.`))).toBe('algorithm');
    expect(await reasonOf(await post(document, 'eyJ'))).toBe('no token');
    expect(world.relay.connections).toHaveLength(opened);
  });
});

test('an issuer that changes its keys is asked again', async () => {
  // In an isolate of its own, whose keys are those from before.
  await world.replaceWorker();
  const before = JSON.stringify(requestOf('before_rotation'));
  expect((await post(before, await jobOf(before))).document).toMatchObject({ state: 'succeeded' });
  const asked = issuer.asked.length;
  await issuer.addKey({ replace: true });
  const body = JSON.stringify(requestOf('rotated'));
  expect(await reasonOf(await post(body, await jobOf(body)))).toBe('key'); // it was asked less than half a minute ago
  expect(issuer.asked).toHaveLength(asked);
  await world.replaceWorker();
  expect((await post(body, await jobOf(body))).document).toMatchObject({ state: 'succeeded' });
});
