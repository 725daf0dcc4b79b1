/** Going back: the undo files of a deployment in reverse, from the bytes that the database has kept. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, shutGate } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { send } from './support.ts';
import { deployWays, openUndo, packWays, pathsIn, stageWays, undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(async () => {
  await database.drop();
});

const table = (name: string) => ({ run: `create table ${name} (n int)`, undo: `drop table ${name}` });
const tables = async () =>
  (await sql(database.url, `select tablename from pg_tables where schemaname = 'public' order by 1`)).map(({ tablename }) => tablename);

describe('weft.undo()', () => {
  it('runs the undo files of the newest deployment, phases and steps in reverse, as a deployment of its own', async () => {
    const note = (word: string) => ({ run: `insert into journal values ('${word}')`, undo: `insert into journal values ('not ${word}')` });
    await sql(database.url, 'create table journal (word text, n int generated always as identity)');
    const done = await deployWays(database.url, [
      { name: 'first', transaction: 'single', ways: { '1.sql': note('one'), '2.sql': note('two') } },
      { name: 'second', transaction: 'per-step', ways: { '3.sql': note('three'), '4.sql': note('four') } },
    ]);
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'succeeded', bundle: 'shop', undoes: done.id, mode: 'apply' });
    expect((await sql(database.url, 'select word from journal order by n')).map(({ word }) => word)).toEqual([
      'one',
      'two',
      'three',
      'four',
      'not four',
      'not three',
      'not two',
      'not one',
    ]);
    expect(back.phases.map(({ name, transaction }: { name: string; transaction: string }) => [name, transaction])).toEqual([
      ['second', 'per-step'],
      ['first', 'single'],
    ]);
    expect(back.phases[0].steps[0]).toMatchObject({ path: 'undo/4.sql', undoes: '4.sql', state: 'succeeded' });
    expect((await sql(database.url, `select weft.status('${done.id}') as d`))[0].d).toMatchObject({ state: 'succeeded', undone_by: [back.id] });
    expect((await sql(database.url, `select kind from weft.events where deployment_id = '${back.id}' order by number`)).map(({ kind }) => kind)).toEqual([
      'opened',
      'staged',
      'started',
      'phase_started',
      'step_succeeded',
      'step_succeeded',
      'phase_succeeded',
      'phase_started',
      'step_succeeded',
      'step_succeeded',
      'phase_succeeded',
      'as_before',
      'succeeded',
    ]);
  });

  it('takes what it undoes out of the history in the same transaction, so that the next deployment runs it again', async () => {
    const ways = { '1.sql': table('a'), '2.sql': table('b') };
    await deployWays(database.url, ways);
    const before = (await sql(database.url, 'select weft.fingerprint() as f'))[0].f;
    await undo(database.url);
    expect(await pathsIn(database.url)).toEqual([]);
    expect(await tables()).toEqual([]);
    const again = await deployWays(database.url, ways);
    expect(again.phases[0]?.steps.map(({ state }) => state)).toEqual(['succeeded', 'succeeded']);
    expect(again.fingerprint.after).toBe(before);
  });

  it('leaves an undo file that fails in a single phase without effect, and everything in the history', async () => {
    await deployWays(database.url, {
      '1.sql': table('a'),
      '2.sql': table('b'),
      '3.sql': { run: 'create table c (n int)', undo: 'drop table c; select 1 / 0' },
      '4.sql': table('d'),
    });
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'failed', error: { sqlstate: '22012', path: 'undo/3.sql', line: 1 } });
    expect(await tables()).toEqual(['a', 'b', 'c', 'd']);
    expect(await pathsIn(database.url)).toEqual(['1.sql', '2.sql', '3.sql', '4.sql']);
  });

  it('goes on with the rest after a failure in a phase of separate steps', async () => {
    const ways = { '1.sql': table('a'), '2.sql': { run: 'create table b (n int)', undo: 'drop table b, missing' }, '3.sql': table('c') };
    const done = await deployWays(database.url, ways, 'per-step');
    expect(await undo(database.url)).toMatchObject({ state: 'failed', error: { path: 'undo/2.sql' } });
    expect(await pathsIn(database.url)).toEqual(['1.sql', '2.sql']);
    await sql(database.url, 'create table missing ()');
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'succeeded', undoes: done.id });
    expect(back.phases[0].steps.map(({ path }: { path: string }) => path)).toEqual(['undo/2.sql', 'undo/1.sql']);
    expect(await tables()).toEqual([]);
  });

  it('leaves alone what the deployment found applied before', async () => {
    await deployWays(database.url, { '1.sql': table('a') });
    await deployWays(database.url, { '1.sql': table('a'), '2.sql': table('b') });
    await undo(database.url);
    expect(await tables()).toEqual(['a']);
    expect(await pathsIn(database.url)).toEqual(['1.sql']);
    await undo(database.url);
    expect(await tables()).toEqual([]);
  });

  it('asks no condition: what has run is undone, and what a condition left out is not', async () => {
    const phase = { name: 'main', transaction: 'single' as const, ways: { '1.sql': table('a') }, more: { when: `to_regclass('a') is null` } };
    const never = { name: 'never', transaction: 'single' as const, ways: { '2.sql': table('b') }, more: { when: 'false' } };
    await deployWays(database.url, [phase, never]);
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'succeeded' });
    expect(back.phases.map(({ name }: { name: string }) => name)).toEqual(['main']);
    expect(await tables()).toEqual([]);
  });

  it('begins each undo file with the role and the settings of its phase', async () => {
    const more = { settings: { 'app.tenant': 'acme' } };
    await sql(database.url, 'create table seen (tenant text)');
    const ways = { '1.sql': { run: 'select 1', undo: `insert into seen select current_setting('app.tenant')` } };
    await deployWays(database.url, [{ name: 'main', transaction: 'single', ways, more }]);
    await undo(database.url);
    expect(await sql(database.url, 'select tenant from seen')).toEqual([{ tenant: 'acme' }]);
  });

  it('takes the undo that came with the same bytes of the file last: so it can be repaired, or given at last', async () => {
    await deployWays(database.url, { '1.sql': { run: 'create table a (n int)', undo: 'drop table aa' }, '2.sql': { run: 'create table b (n int)' } });
    await expect(openUndo(database.url)).rejects.toThrow(/one file has no undo: 2.sql/);
    await deployWays(database.url, { '1.sql': table('a'), '2.sql': table('b') });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await tables()).toEqual([]);
  });
});

describe('what has no undo', () => {
  const ways = { '1.sql': { run: 'create table a (n int)' }, '2.sql': table('b') };

  it('is named first, and nothing is undone', async () => {
    const done = await deployWays(database.url, ways);
    const plan = (await sql(database.url, 'select weft.plan_undo() as plan'))[0].plan;
    expect(plan).toMatchObject({
      deployment: done.id,
      bundle: 'shop',
      phases: [{ name: 'main', transaction: 'single', steps: [{ path: '2.sql', undo: 'undo/2.sql', kind: 'run' }] }],
      lacking: [{ phase: 'main', path: '1.sql' }],
    });
    await expect(openUndo(database.url)).rejects.toMatchObject({ code: 'WF072' });
    expect(await tables()).toEqual(['a', 'b']);
    expect(await sql(database.url, 'select from weft.deployments')).toHaveLength(1);
  });

  it('stays in the database and in the history when that is said', async () => {
    await deployWays(database.url, ways);
    expect(await undo(database.url, 'p_partly => true')).toMatchObject({ state: 'succeeded' });
    expect(await tables()).toEqual(['a']);
    expect(await pathsIn(database.url)).toEqual(['1.sql']);
    await expect(openUndo(database.url, 'p_partly => true')).rejects.toThrow(/all files have no undo: 1.sql/);
  });
});

describe('which deployment', () => {
  it('is the newest of which something is in the database, whatever has come after it in vain', async () => {
    const first = await deployWays(database.url, { '1.sql': table('a') });
    await deployWays(database.url, { '1.sql': table('a'), '2.sql': { run: 'select 1 / 0' } });
    await deployWays(database.url, { '1.sql': table('a') });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', undoes: first.id });
  });

  it('one that another of its bundle has followed is refused, and names that one', async () => {
    const first = await deployWays(database.url, { '1.sql': table('a') });
    const second = await deployWays(database.url, { '1.sql': table('a'), '2.sql': table('b') });
    await expect(openUndo(database.url, `'${first.id}'`)).rejects.toMatchObject({ code: 'WF071', message: expect.stringContaining(second.id) });
  });

  it('bundles do not stand in each other’s way', async () => {
    const first = await deployWays(database.url, { '1.sql': table('a') });
    await send(database.url, packWays([{ name: 'main', transaction: 'single', ways: { '1.sql': table('b') } }], { bundle: 'other' }));
    expect(await undo(database.url, `'${first.id}'`)).toMatchObject({ state: 'succeeded', bundle: 'shop' });
    expect(await tables()).toEqual(['b']);
  });

  it('that another one came in between is found out when its turn comes, and nothing is undone', async () => {
    await deployWays(database.url, { '1.sql': table('a') });
    const id = await openUndo(database.url);
    const second = await stageWays(database.url, packWays([{ name: 'main', transaction: 'single', ways: { '1.sql': table('a'), '2.sql': table('b') } }]));
    await sql(database.url, `update weft._deployments set place = place + 100 where id = '${id}'`);
    await sql(database.url, `call weft.run('${second}')`);
    const back = (await sql(database.url, `call weft.run('${id}')`))[0].result;
    expect(back).toMatchObject({ state: 'failed', error: { sqlstate: 'WF071', message: expect.stringContaining(second) } });
    expect(await tables()).toEqual(['a', 'b']);
  });

  it('undone twice at a time, it is undone once', async () => {
    await deployWays(database.url, { '1.sql': table('a') });
    const [one, other] = [await openUndo(database.url), await openUndo(database.url)];
    const result = (await sql(database.url, `call weft.run('${other}')`))[0].result;
    expect(result).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ state: 'skipped' }] }] });
    expect((await sql(database.url, `select state from weft.deployments where id = '${one}'`))[0]).toEqual({ state: 'succeeded' });
    await expect(openUndo(database.url)).rejects.toMatchObject({ code: 'WF070' });
  });

  it('asked for while another undo ends, it is refused as undone already, and not for want of undo files', async () => {
    const done = await deployWays(database.url, { '1.sql': table('a') });
    // what it has read of the deployment stands, and the rest it reads when the other one is over
    await sql(database.url, 'alter function weft.plan_undo(uuid, text) rename to plan_undo_before');
    await sql(
      database.url,
      `create function weft.plan_undo(p_deployment uuid default null, p_bundle text default null) returns jsonb language plpgsql as $$
       declare v jsonb := weft.plan_undo_before(p_deployment, p_bundle); begin ${AT_THE_GATE.replace('select', 'perform')} return v; end $$`,
    );
    const first = await openUndo(database.url);
    const gate = await shutGate(database.url);
    const second = openUndo(database.url, `'${done.id}'`);
    second.catch(() => undefined);
    await gate.reached();
    await sql(database.url, `call weft.run('${first}')`);
    await gate.open();
    await expect(second).rejects.toMatchObject({ code: 'WF070', message: expect.stringContaining('it was undone already') });
  });

  it('an undo is not undone, an unfinished deployment neither, and one that does not exist is not found', async () => {
    await deployWays(database.url, { '1.sql': table('a') });
    const back = await undo(database.url);
    await expect(openUndo(database.url, `'${back.id}'`)).rejects.toMatchObject({ code: 'WF070' });
    await expect(openUndo(database.url, 'gen_random_uuid()')).rejects.toMatchObject({ code: 'WF002' });
  });

  it('the same request is the same undo, and another one under its id a conflict', async () => {
    const done = await deployWays(database.url, { '1.sql': table('a') });
    const ask = async (more: object) => {
      const request = JSON.stringify({ type: 'undo', id: 'u-1', deployment: done.id, ...more });
      return (await sql(database.url, `select weft.undo(p_request => convert_to($1, 'UTF8')) as o`, [request]))[0].o;
    };
    const first = await ask({ expires_at: '2030-01-01T00:00:00Z' });
    expect(first).toMatchObject({ outcome: 'created', state: 'staged', missing: [] });
    expect(await ask({ expires_at: '2031-01-01T00:00:00Z' })).toMatchObject({ outcome: 'repeated', deployment: first.deployment });
    expect(await ask({ partly: true })).toMatchObject({ outcome: 'conflict', deployment: first.deployment });
  });
});

describe('what runs again and again', () => {
  const view = (n: number) => ({ run: `create or replace view v as select ${n} as n`, undo: 'drop view v', repeat: 'on-change' as const });
  const seen = async () => (await sql(database.url, 'select n from v'))[0].n;

  it('becomes what it was before, by the bytes that the database has kept; and is taken back by its undo when there was nothing before', async () => {
    await deployWays(database.url, { 'v.sql': view(1) });
    await deployWays(database.url, { 'v.sql': view(2) });
    const plan = (await sql(database.url, 'select weft.plan_undo() as plan'))[0].plan;
    expect(plan.phases[0].steps).toMatchObject([{ path: 'v.sql', undo: 'v.sql', restores: true }]);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await seen()).toBe(1);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ path: 'undo/v.sql' }] }] });
    expect(await pathsIn(database.url)).toEqual([]);
    expect(await sql(database.url, `select to_regclass('v') as v`)).toEqual([{ v: null }]);
  });

  it('what needs each other is given back in an order that is found', async () => {
    const pair = (n: number) => ({
      'a.sql': { run: `drop view if exists a cascade; create view a as select ${n} as n${n}`, repeat: 'on-change' as const },
      'b.sql': { run: `create or replace view b as select n${n} as n from a`, repeat: 'on-change' as const },
    });
    await deployWays(database.url, pair(1));
    await deployWays(database.url, pair(2));
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(database.url, 'select n from b')).toEqual([{ n: 1 }]);
  });

  it('once it is what it was before, the next deployment brings it forward again', async () => {
    await deployWays(database.url, { 'v.sql': view(1) });
    await deployWays(database.url, { 'v.sql': view(2) });
    await undo(database.url);
    await deployWays(database.url, { 'v.sql': view(2) });
    expect(await seen()).toBe(2);
  });
});

describe('data', () => {
  const data = (rows: string, mode: 'sync' | 'upsert') => {
    const parcel = packWays([{ name: 'main', transaction: 'single', ways: { 'c.csv': { run: rows, undo: 'delete from c' } } }]);
    const steps = [{ kind: 'load' as const, path: 'c.csv', into: 'c', mode, key: ['code'], format: 'csv' as const, undo: 'undo/c.csv' }];
    const manifest = { ...parcel.order.manifest, phases: [{ name: 'main', transaction: 'single' as const, steps }] };
    const request = { ...JSON.parse(Buffer.from(parcel.order.request).toString()), manifest };
    return send(database.url, { ...parcel, order: { ...parcel.order, manifest, request: Buffer.from(JSON.stringify(request)) } });
  };
  const rows = async () => (await sql(database.url, 'select code, name from c order by 1')).map(({ code, name }) => `${code} ${name}`);

  beforeEach(() => sql(database.url, 'create table c (code text primary key, name text)'));

  it('that a table is brought in line with is given back as it was; by its undo file, when there was none before', async () => {
    expect(await data('code,name\na,A\nb,B\n', 'sync')).toMatchObject({ state: 'succeeded', error: null });
    expect(await data('code,name\na,AA\nc,C\n', 'sync')).toMatchObject({ state: 'succeeded', error: null });
    expect(await rows()).toEqual(['a AA', 'c C']);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', error: null, phases: [{ steps: [{ kind: 'load', path: 'c.csv' }] }] });
    expect(await rows()).toEqual(['a A', 'b B']);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ kind: 'run', path: 'undo/c.csv' }] }] });
    expect(await rows()).toEqual([]);
  });

  it('that is only added to a table is taken back by its undo file', async () => {
    await data('code,name\na,A\n', 'upsert');
    await data('code,name\na,AA\n', 'upsert');
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ kind: 'run', path: 'undo/c.csv' }] }] });
    expect(await rows()).toEqual([]);
  });
});

it('what was renamed or reformatted since is undone all the same', async () => {
  await deployWays(database.url, { '1.sql': table('a'), '2.sql': table('b') });
  await deployWays(database.url, { '01.sql': { run: 'create table a (n int)' }, '2.sql': { run: 'create table b (n int) -- b', undo: 'drop table b' } });
  expect(await pathsIn(database.url)).toEqual(['01.sql', '2.sql']);
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
  expect(await pathsIn(database.url)).toEqual([]);
  expect(await tables()).toEqual([]);
});

describe('statement by statement', () => {
  const index = { run: 'create index concurrently t_n on t (n)', undo: 'drop index concurrently t_n' };

  it('a step that the server ran in no transaction is undone by the way it came', async () => {
    await sql(database.url, 'create table t (n int)');
    await deployWays(database.url, { '1.sql': index }, 'none');
    const id = await openUndo(database.url);
    const client = await database.client();
    let { result } = (await client.query(`call weft.run('${id}')`)).rows[0];
    expect(result.directive).toMatchObject({ statement: 'drop index concurrently t_n' });
    await client.query(result.directive.statement);
    await client.query(result.directive.report);
    await client.query('reset role');
    ({ result } = (await client.query(`call weft.run('${id}')`)).rows[0]);
    await client.end();
    expect(result).toMatchObject({ state: 'succeeded' });
    expect(await pathsIn(database.url)).toEqual([]);
    expect(await sql(database.url, `select to_regclass('t_n') as i`)).toEqual([{ i: null }]);
  });

  it('a file of which only the beginning has run is undone too, named as such, and then runs from its beginning', async () => {
    const half = { run: 'create table h (n int); create table i (n int); select 1 / (select count(*) from ready)', undo: 'drop table if exists h, i' };
    await sql(database.url, 'create table ready ()');
    await deployWays(database.url, { '1.sql': half }, 'none');
    expect(await tables()).toEqual(['h', 'i', 'ready']);
    expect((await sql(database.url, 'select weft.plan_undo() as plan'))[0].plan.phases[0].steps[0]).toMatchObject({ path: '1.sql', statements_done: 2 });
    await undo(database.url);
    expect(await tables()).toEqual(['ready']);
    expect(await sql(database.url, 'select from weft._statements')).toEqual([]);
    await sql(database.url, 'alter table ready add n int; insert into ready values (1)');
    expect(await deployWays(database.url, { '1.sql': half }, 'none')).toMatchObject({ state: 'succeeded' });
    expect(await tables()).toEqual(['h', 'i', 'ready']);
  });

  it('an undo that stopped in the middle of a file goes on there', async () => {
    await sql(database.url, 'create table journal (word text)');
    const way = { run: 'select 1', undo: `insert into journal values ('once'); select 1 / (select count(*) from journal where word = 'ready')` };
    await deployWays(database.url, { '1.sql': way }, 'none');
    expect(await undo(database.url)).toMatchObject({ state: 'failed' });
    expect(await pathsIn(database.url)).toEqual(['1.sql']);
    await sql(database.url, `insert into journal values ('ready')`);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect((await sql(database.url, 'select word from journal order by 1')).map(({ word }) => word)).toEqual(['once', 'ready']);
    expect(await pathsIn(database.url)).toEqual([]);
  });
});
