/** Deployments through the Worker: workerd, a WebSocket or TCP, a real database. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readInline } from '../../src/bundle/inline.ts';
import { DEPLOYMENTS, inlineFiles, manifestOf } from '../http/requests.ts';
import { type AnyDocument, openWorld, type World } from './support.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.stop());

const wait = { prefer: 'wait=30' };
describe('a signed JSON document with files', () => {
  test('is deployed, and waited for', async () => {
    const files = { '1.sql': 'create table first (id int);', '2.sql': 'insert into first values (1), (2);' };
    const { answer, document } = await world.send(
      DEPLOYMENTS,
      await world.requests.post(world.requests.makeRequest({ files: inlineFiles(files) }), { headers: wait }),
    );
    expect(document).toMatchObject({ state: 'succeeded', target: 'staging', bundle: 'inline', caller: 'ci', repeated: false, missing: [] });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('preference-applied')).toBe('wait=30');
    expect(document.phases[0].steps.map((step: AnyDocument) => [step.path, step.state])).toEqual([
      ['1.sql', 'succeeded'],
      ['2.sql', 'succeeded'],
    ]);
    expect(await world.count('first')).toBe(2);
  });

  test('is answered before its end; Location leads to it', async () => {
    const files = { '3.sql': 'select pg_sleep(3); create table third (id int);' };
    const { answer, document } = await world.send(DEPLOYMENTS, await world.requests.post(world.requests.makeRequest({ files: inlineFiles(files) })));
    expect(answer.status).toBe(202);
    expect(document).toMatchObject({ state: 'staged', target: 'staging', repeated: false, missing: [] });
    expect((await world.client.query("select to_regclass('third') as third")).rows).toEqual([{ third: null }]);
    const location = answer.headers.get('location') ?? '';
    expect(location).toContain(`${DEPLOYMENTS}/${document.id}?token=`);
    await expect.poll(async () => (await world.send(location, {})).document.state, { timeout: 20_000 }).toBe('succeeded');
    expect(await world.count('third')).toBe(0);
  });

  test('that takes longer than it is waited for is answered with how far it is', async () => {
    const files = { '4.sql': 'select pg_sleep(4);' };
    const { answer, document } = await world.send(
      DEPLOYMENTS,
      await world.requests.post(world.requests.makeRequest({ files: inlineFiles(files) }), { headers: { prefer: 'wait=2' } }),
    );
    expect(answer.status).toBe(202);
    expect(document).toMatchObject({ state: 'running', phases: [{ state: 'running' }], repeated: false });
    await expect.poll(async () => (await world.send(answer.headers.get('location') ?? '', {})).document.state, { timeout: 20_000 }).toBe('succeeded');
  });

  test('that fails is a deployment that failed, with the error whole', async () => {
    const files = { '5.sql': 'create table fifth (id int);\n\nselect 1/0;' };
    const { answer, document } = await world.send(
      DEPLOYMENTS,
      await world.requests.post(world.requests.makeRequest({ files: inlineFiles(files) }), { headers: wait }),
    );
    expect(answer.status).toBe(200);
    expect(document).toMatchObject({ state: 'failed', error: { sqlstate: '22012', path: '5.sql', line: 3 } });
  });

  test('goes over TCP too', async () => {
    const document = world.requests.makeRequest({ target: 'staging-tcp', files: inlineFiles({ '6.sql': 'create table sixth (id int);' }) });
    const answer = await world.send('/v1/targets/staging-tcp/deployments', await world.requests.post(document, { headers: wait }));
    expect(answer.document).toMatchObject({ state: 'succeeded', target: 'staging-tcp' });
  });

  test('is deployed for a caller who may not read, whose Location carries no token', async () => {
    const request = world.requests.makeRequest({ files: inlineFiles({ '7.sql': 'select 7;' }) });
    const { answer, document } = await world.send(DEPLOYMENTS, await world.requests.post(request, { secret: world.requests.secrets.watcher, headers: wait }));
    expect(document).toMatchObject({ state: 'succeeded', caller: 'watcher' });
    expect(answer.headers.get('location')).toBe(`${DEPLOYMENTS}/${document.id}`);
  });
});

describe('a tar', () => {
  test.each([
    ['plain', { 'content-type': 'application/x-tar' }],
    ['gzip by its type', { 'content-type': 'application/gzip' }],
    ['gzip by its encoding', { 'content-type': 'application/x-tar', 'content-encoding': 'gzip' }],
  ])('%s is streamed into the database and deployed', async (name, headers) => {
    const table = `tar_${name.replaceAll(' ', '_')}`;
    const small = { '1.sql': `create table ${table} (id int);`, '2.sql': `insert into ${table} values (1);` };
    const init = await world.requests.postTar(world.requests.makeRequest({ manifest: manifestOf(small, { bundle: table }) }), small, {
      headers: { ...wait, ...headers },
    });
    const body = name === 'plain' ? init.body : gzipSync(init.body);
    const { answer, document } = await world.send(DEPLOYMENTS, { ...init, body });
    expect(document).toMatchObject({ state: 'succeeded', bundle: table });
    expect(answer.status).toBe(200);
    expect(await world.count(table)).toBe(1);
  });

  test('of several chunks arrives whole', async () => {
    const big = { '1.sql': 'create table big (note text);', '2.sql': `insert into big values ('${'x'.repeat(2_500_000)}');` };
    const { manifest } = await readInline(inlineFiles(big), 'big');
    const { document } = await world.send(DEPLOYMENTS, await world.requests.postTar(world.requests.makeRequest({ manifest }), big, { headers: wait }));
    expect(document).toMatchObject({ state: 'succeeded' });
    expect((await world.client.query('select length(note) as length from big')).rows).toEqual([{ length: 2_500_000 }]);
  });

  test('may follow the request alone, and then brings just what is missing', async () => {
    const all = { '1.sql': 'create table asked (id int);', '2.sql': 'insert into asked values (1);', '3.sql': 'insert into asked values (2);' };
    const request = world.requests.makeRequest({ manifest: manifestOf(all, { bundle: 'asked' }) });
    const first = await world.send(DEPLOYMENTS, await world.requests.post(request, { headers: wait }));
    expect(first.answer.status).toBe(202);
    expect(first.document.state).toBe('open');
    expect(first.document.missing.map(({ path }: AnyDocument) => path)).toEqual(['1.sql', '2.sql', '3.sql']);

    const broken = await world.requests.postTar(request, { '1.sql': all['1.sql'] }, { headers: wait });
    const part = await world.send(DEPLOYMENTS, broken);
    expect(part.document).toMatchObject({ type: 'urn:weft:problem:artifact_missing' });

    const second = await world.send(DEPLOYMENTS, await world.requests.post(request));
    const missing = second.document.missing.map(({ path }: AnyDocument) => path);
    expect(second.document).toMatchObject({ id: first.document.id, state: 'open', repeated: true });
    const rest = Object.fromEntries(Object.entries(all).filter(([path]) => missing.includes(path)));
    const third = await world.send(DEPLOYMENTS, await world.requests.postTar(request, rest, { headers: wait }));
    expect(third.document).toMatchObject({ id: first.document.id, state: 'succeeded', repeated: true });
    expect(await world.count('asked')).toBe(2);
  });
});

describe('the same request twice', () => {
  test('is one deployment, and the second is answered with its end', async () => {
    const request = world.requests.makeRequest({ files: inlineFiles({ '8.sql': 'create table eighth (id int); insert into eighth values (1);' }) });
    const first = await world.send(DEPLOYMENTS, await world.requests.post(request, { headers: wait }));
    const later = { ...request, expires_at: new Date(Date.now() + 700_000).toISOString() };
    const second = await world.send(DEPLOYMENTS, await world.requests.post(later));
    expect(second.answer.status).toBe(200);
    expect(second.document).toEqual({ ...first.document, repeated: true });
    expect(await world.count('eighth')).toBe(1);
  });

  test('at the same time is one deployment', async () => {
    const request = world.requests.makeRequest({ files: inlineFiles({ '9.sql': 'create table ninth (id int); insert into ninth values (1);' }) });
    const answers = await Promise.all([1, 2, 3].map(async () => world.send(DEPLOYMENTS, await world.requests.post(request, { headers: wait }))));
    expect(new Set(answers.map(({ document }) => document.id)).size).toBe(1);
    for (const { document } of answers) expect(document).toMatchObject({ state: 'succeeded' });
    expect(await world.count('ninth')).toBe(1);
  });

  test('with other content is a conflict', async () => {
    const request = world.requests.makeRequest({ files: inlineFiles({ '10.sql': 'select 10;' }) });
    await world.send(DEPLOYMENTS, await world.requests.post(request, { headers: wait }));
    const { answer, document } = await world.send(DEPLOYMENTS, await world.requests.post({ ...request, files: inlineFiles({ '10.sql': 'select 11;' }) }));
    expect(answer.status).toBe(409);
    expect(document).toMatchObject({ type: 'urn:weft:problem:id_conflict' });
  });
});

describe('reading', () => {
  test('lists the newest first, shows one, and tells the history', async () => {
    const request = world.requests.makeRequest({ files: inlineFiles({ 'read.sql': 'select 1;' }) });
    const { document } = await world.send(DEPLOYMENTS, await world.requests.post(request, { headers: wait }));
    const headers = await world.requests.bearer({ caller: 'reader' });
    const list = await world.send(`${DEPLOYMENTS}?limit=2`, { headers });
    expect(list.document.deployments.map(({ id }: AnyDocument) => id)[0]).toBe(document.id);
    expect(list.document.deployments).toHaveLength(2);
    const { repeated: _, missing: __, ...own } = document;
    expect((await world.send(`${DEPLOYMENTS}/${document.id}`, { headers })).document).toEqual(own);
    const { history } = (await world.send('/v1/targets/staging/history?bundle=inline', { headers })).document;
    expect(history).toContainEqual(expect.objectContaining({ bundle: 'inline', path: 'read.sql', deployment: document.id }));
    expect((await world.send('/v1/targets/staging/drift', { headers })).document).toMatchObject({ verdict: 'none', since: { deployment: document.id } });
    expect((await world.send(`${DEPLOYMENTS}/${document.id}/changes`, { headers })).document).toMatchObject({
      deployment: document.id,
      verdict: 'none',
      objects: [],
    });
  });

  test('of a deployment that is not there is 404', async () => {
    const { answer, document } = await world.send(`${DEPLOYMENTS}/0190a0de-0000-7000-8000-00000000000a`, { headers: await world.requests.bearer() });
    expect(answer.status).toBe(404);
    expect(document).toMatchObject({ type: 'urn:weft:problem:deployment_not_found' });
  });
});

describe('the Worker', () => {
  test('leaves no session behind', async () => {
    await expect.poll(() => world.openSessions(), { timeout: 15_000 }).toBe(0);
  });

  test('writes no secret, token, password or host of a database to its log', () => {
    const log = world.lines.join('\n');
    const { password, hostname } = new URL(world.database.url);
    expect(world.lines.length).toBeGreaterThan(20);
    for (const word of [...Object.values(world.requests.secrets), decodeURIComponent(password), hostname, 'weft_read', 'token='])
      expect(log).not.toContain(word);
    for (const line of world.lines) expect(() => JSON.parse(line)).not.toThrow();
  });
});
