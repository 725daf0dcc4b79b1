/** What the Worker tells of a target, and what it records there: plan, baseline and drift, through workerd, a WebSocket or TCP, and a real database. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changesSchema, deploymentSchema, driftSchema } from '../../src/domain/deployment.ts';
import { foresightSchema } from '../../src/domain/foresight.ts';
import { DEPLOYMENTS, type Document, inlineFiles, manifestOf, type Signing } from '../http/requests.ts';
import { openWorld, type World } from './support.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.stop());

const FILES = { '1.sql': 'create table goods (id int);', '2.sql': 'create view seen as select id from goods;' };

async function read(path: string) {
  return world.send(`/v1/targets/staging${path}`, { headers: await world.requests.bearer() });
}

async function deploy(changes: Document, signing: Signing = {}) {
  return world.send(DEPLOYMENTS, await world.requests.post(world.requests.makeRequest(changes), { ...signing, headers: { prefer: 'wait=30' } }));
}

async function plan(manifest: Document, texts: Record<string, string> = {}, target = 'staging') {
  const headers = { 'content-type': 'application/json', ...(await world.requests.bearer({ target })) };
  return world.send(`/v1/targets/${target}/plan`, { method: 'POST', headers, body: JSON.stringify({ manifest, texts }) });
}

test('before anything is there, no reading installs anything: plan, drift and history say that the engine is missing', async () => {
  await world.client.query('drop schema if exists weft cascade');
  for (const { answer, document } of [await read('/drift'), await read('/history'), await plan({ ...manifestOf(FILES) })]) {
    expect([answer.status, document.type]).toEqual([409, 'urn:weft:problem:engine_missing']);
  }
  expect((await world.client.query(`select to_regnamespace('weft') as there`)).rows).toEqual([{ there: null }]);
});

describe('a baseline', () => {
  test('records what is there already, as a deployment of its own, and runs nothing', async () => {
    await world.client.query(FILES['1.sql']);
    await world.client.query(FILES['2.sql']);
    const { answer, document } = await deploy({ mode: 'baseline', files: inlineFiles(FILES), folder: 'shop' });
    expect(answer.status).toBe(200);
    expect(deploymentSchema.parse(document)).toMatchObject({
      state: 'succeeded',
      mode: 'baseline',
      caller: 'ci',
      has_committed: true,
      baseline: { files: 2, verified: { by: 'catalog', objects_found: 2 } },
      phases: [
        {
          steps: [
            { path: '1.sql', result: { recorded: 'now' } },
            { path: '2.sql', result: { recorded: 'now' } },
          ],
        },
      ],
    });
    expect((await read('/history')).document.history.map(({ path }: { path: string }) => path)).toEqual(['1.sql', '2.sql']);
    expect((await deploy({ files: inlineFiles(FILES), folder: 'shop' })).document).toMatchObject({ state: 'succeeded', has_committed: false });
  });

  test('that the catalog contradicts records nothing, and says what is not there', async () => {
    const { answer, document } = await deploy({ mode: 'baseline', files: inlineFiles({ '9.sql': 'create table nowhere (id int);' }), folder: 'other' });
    expect(answer.status).toBe(200);
    expect(document).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF062', path: '9.sql', line: 1, detail: expect.stringContaining('relation nowhere') },
    });
    expect((await read('/history?bundle=other')).document).toEqual({ history: [], begun: [] });
  });

  test('is refused for a caller who may only deploy, before a session opens', async () => {
    const before = world.relay.connections.length;
    const { answer, document } = await deploy({ mode: 'baseline', files: inlineFiles(FILES), folder: 'shop' }, { secret: world.requests.secrets.watcher });
    expect([answer.status, document.type]).toEqual([403, 'urn:weft:problem:no_grant']);
    expect(world.relay.connections.length).toBe(before);
  });
});

describe('a plan', () => {
  test('says what the history has against a bundle, and with the contents that a change of comments is none', async () => {
    const commented = { ...FILES, '1.sql': `-- the goods\n${FILES['1.sql']}` };
    const changed = { ...FILES, '1.sql': 'create table goods (id bigint);' };
    const bare = foresightSchema.parse((await plan({ ...manifestOf(commented) })).document);
    expect(bare.findings).toMatchObject([{ path: '1.sql', verdict: 'changed' }]);
    const told = foresightSchema.parse((await plan({ ...manifestOf(commented) }, { '1.sql': commented['1.sql'] })).document);
    expect(told).toMatchObject({ findings: [{ path: '1.sql', verdict: 'unchanged' }], refusal: null });
    const refused = foresightSchema.parse((await plan({ ...manifestOf(changed) }, { '1.sql': changed['1.sql'] })).document);
    expect(refused.refusal).toMatchObject({ sqlstate: 'WF013', detail: expect.stringContaining('+create table goods (id bigint);') });
  });

  test('names groups in the order that would be tried, and what is gone of what they made', async () => {
    const steps = ['b.sql', 'a.sql'].map((path) => ({ kind: 'run' as const, path, repeat: 'on-change' as const }));
    const files = { 'a.sql': 'create or replace view a as select 1 as n;', 'b.sql': 'create or replace view b as select n from a;' };
    const manifest = { ...manifestOf(files, { bundle: 'views', phases: [{ name: 'main', transaction: 'single', steps }] }) };
    const { document } = await world.send(
      DEPLOYMENTS,
      await world.requests.postTar(world.requests.makeRequest({ manifest }), files, { headers: { prefer: 'wait=30' } }),
    );
    expect(document).toMatchObject({ state: 'succeeded' });
    await world.client.query('drop view b');
    expect((await plan(manifest)).document).toMatchObject({ findings: [], refusal: null, groups: [['a.sql', 'b.sql']], lost: [{ path: 'b.sql' }] });
    await world.client.query('drop view a');
  });

  test('goes over TCP too, and writes nothing', async () => {
    const target = 'staging-tcp';
    await world.send(
      `/v1/targets/${target}/deployments`,
      await world.requests.post(world.requests.makeRequest({ target, files: inlineFiles(FILES), folder: 'shop' }), { headers: { prefer: 'wait=30' } }),
    );
    expect((await plan({ ...manifestOf({ ...FILES, '0.sql': FILES['1.sql'] }) }, {}, target)).document).toMatchObject({ refusal: null });
    const { document } = await world.send(`/v1/targets/${target}/deployments`, { headers: await world.requests.bearer({ target }) });
    expect(document.deployments).toHaveLength(1);
  });
});

describe('drift', () => {
  test('is named with both definitions, stays behind deployments that failed or succeeded, and is told by each that meets it', async () => {
    const start = await deploy({ files: inlineFiles({ ...FILES, '3.sql': 'create table more (id int);' }), folder: 'shop' });
    await world.client.query('select weft.accept_drift()'); // what other tests have made
    await world.client.query('alter table more alter id type bigint');
    const found = { change: 'changed', kind: 'column', identity: 'public.more.id', before: 'integer', after: 'bigint' };
    const failed = await deploy({ files: inlineFiles({ '1.sql': 'select 1/0' }), folder: 'failing' });
    expect(failed.document).toMatchObject({ state: 'failed', has_committed: false, drift_found: [{ since: start.document.id, count: 1 }] });
    expect(driftSchema.parse((await read('/drift')).document)).toMatchObject({ verdict: 'drift', objects: [found], since: { deployment: start.document.id } });
    const taker = await deploy({ files: inlineFiles({ '1.sql': 'create table taken ()' }), folder: 'taking' });
    expect(driftSchema.parse((await read('/drift')).document)).toMatchObject({
      verdict: 'drift',
      objects: [found],
      since: { deployment: taker.document.id, drift_found: [{ since: start.document.id, count: 1 }] },
    });
    expect(changesSchema.parse((await read(`/deployments/${taker.document.id}/changes`)).document)).toMatchObject({
      verdict: 'changed',
      objects: [{ change: 'added', identity: 'public.taken' }],
      drift_found: [{ since: start.document.id, objects: [found] }],
    });
  });

  test('is meant, when a signed request of a caller with the grant says so of what was looked at', async () => {
    const says = async (fingerprint: string, signing: Signing = {}) =>
      world.send('/v1/targets/staging/drift/accept', await world.requests.post(world.requests.makeRequest({ type: 'accept_drift', fingerprint }), signing));
    await world.client.query('create table by_hand ()');
    const { document: seen } = await read('/drift');
    await world.client.query('create table later ()');
    expect((await says(seen.fingerprint.after)).document).toMatchObject({
      type: 'urn:weft:problem:drift_not_accepted',
      detail: 'The catalog is not any more what was looked at. Nothing was accepted. Look at the drift again.',
    });
    await world.client.query('drop table later');
    expect((await says(seen.fingerprint.after, { secret: world.requests.secrets.reader })).document).toMatchObject({
      type: 'urn:weft:problem:no_grant',
      action: 'accept_drift',
    });
    expect((await read('/drift')).document).toMatchObject({ verdict: 'drift', since: { accepted: null } });
    const { answer, document } = await says(seen.fingerprint.after);
    expect(answer.status).toBe(200);
    expect(driftSchema.parse(document)).toMatchObject({ verdict: 'none', since: { accepted: { by: 'ci' } } });
    expect(document.since.accepted.objects).toContainEqual({ change: 'added', kind: 'table', identity: 'public.by_hand' });
  });

  test('is for whoever may read, and for nobody else', async () => {
    const headers = await world.requests.bearer({ caller: 'watcher' });
    for (const path of ['/drift', `/deployments/0190a0de-0000-7000-8000-00000000000a/changes`]) {
      expect((await world.send(`/v1/targets/staging${path}`, { headers })).document.type).toBe('urn:weft:problem:no_grant');
    }
  });
});

test('a question on which the database works for too long is ended there, and its asker is told so; a deployment has no such limit', async () => {
  const [{ was }] = (await world.client.query(`select pg_get_functiondef('weft.describe_drift()'::regprocedure) as was`)).rows;
  const say = (errcode: string) =>
    world.client.query(`create or replace function weft.describe_drift() returns jsonb stable set search_path = pg_catalog, pg_temp language plpgsql as
      $$ begin raise exception '%', current_setting('statement_timeout') using errcode = '${errcode}'; end $$`);
  try {
    await say('P0001');
    expect((await read('/drift')).document.detail).toContain('5min');
    await say('57014'); // what the server itself says then
    const { answer, document } = await read('/drift');
    expect(answer.status).toBe(503);
    expect(document).toMatchObject({
      type: 'urn:weft:problem:interrupted',
      limit: 'reading_seconds_max',
      detail: expect.stringMatching(/more than 300 seconds .* has changed nothing/),
    });
  } finally {
    await world.client.query(was);
  }
  const files = inlineFiles({ '1.sql': `do $$ begin if current_setting('statement_timeout') <> '0' then raise 'limited'; end if; end $$` });
  expect((await deploy({ files, folder: 'unlimited' })).document.state).toBe('succeeded');
});
