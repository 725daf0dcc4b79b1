/** Other words in weft.yaml beside the bytes that were applied: where data goes, how it is read, what becomes of rows that are there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table a (k text primary key, v text); create table b (k text primary key, v text)');
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
type Rule = 'single' | 'per-step' | 'auto' | 'none';

const CSV = { 'c.csv': 'k,v\n1,one\n2,two\n' };
const UPSERT = { load: 'c.csv', into: 'a', key: ['k'], mode: 'upsert' };
const INSERT = { load: 'c.csv', into: 'a' };
const bundle = (steps: readonly object[], files: Files = CSV, transaction: Rule = 'single', more: object = {}): Files => ({
  ...files,
  'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p', transaction, ...more, steps }] }),
});
const deploy = (files: Files) => deployFiles(connectOver(database.url), files);
const keys = async (table: string) => (await sql(database.url, `select k from ${table} order by 1`)).map(({ k }) => k);
const reworded = () => sql(database.url, `select path, data ->> 'does' as does from weft.events where kind = 'reworded' order by at`);
const stateOf = (end: Awaited<ReturnType<typeof deploy>>, path = 'c.csv') => end.phases.flatMap(({ steps }) => steps).find((step) => step.path === path)?.state;

async function deployed(files: Files) {
  const end = await deploy(files);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end;
}

describe('another table', () => {
  it.each(['single', 'per-step', 'auto', 'none'] as const)(
    'gets data that a table is brought in line with, in a phase that is %s; the first keeps its rows',
    async (rule) => {
      await deployed(bundle([UPSERT], CSV, rule));
      expect(stateOf(await deployed(bundle([{ ...UPSERT, into: 'b' }], CSV, rule)))).toBe('succeeded');
      expect([await keys('a'), await keys('b')]).toEqual([
        ['1', '2'],
        ['1', '2'],
      ]);
      expect(await reworded()).toEqual([{ path: 'c.csv', does: 'runs' }]);
      expect(stateOf(await deployed(bundle([{ ...UPSERT, into: 'b' }], CSV, rule)))).toBe('skipped');
      expect(await reworded()).toHaveLength(1);
    },
  );

  it('gets it too where the same deployment makes that table', async () => {
    await deployed(bundle([UPSERT]));
    const files = { ...CSV, 's.sql': 'create table c (k text primary key, v text)' };
    await deployed(bundle([{ run: 's.sql' }, { ...UPSERT, into: 'c' }], files));
    expect(await keys('c')).toEqual(['1', '2']);
  });

  it('that is not there fails the step', async () => {
    await deployed(bundle([UPSERT]));
    expect(await deploy(bundle([{ ...UPSERT, into: 'nowhere' }]))).toMatchObject({ state: 'failed', error: { sqlstate: '42P01', path: 'c.csv' } });
  });

  it('is refused for what is only inserted, before anything runs: nobody can tell whether its rows are there', async () => {
    const first = await deployed(bundle([INSERT]));
    const files = { ...CSV, 's.sql': 'create table never (n int)' };
    const refused = await deploy(bundle([{ run: 's.sql' }, { ...INSERT, into: 'b' }], files, 'per-step'));
    expect(refused).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF013',
        path: 'c.csv',
        message: 'c.csv was loaded into public.a, and is to go into public.b now.',
        detail: expect.stringContaining(first.id),
      },
    });
    expect(refused.error?.hint).toContain('weft baseline FOLDER --only c.csv');
    expect(await sql(database.url, `select to_regclass('never') as never`)).toEqual([{ never: null }]);
    expect(await keys('b')).toEqual([]);
  });

  it('that the same deployment makes is refused for it when its turn comes', async () => {
    await deployed(bundle([INSERT]));
    const files = { ...CSV, 's.sql': 'create table c (k text, v text)' };
    expect(await deploy(bundle([{ run: 's.sql' }, { ...INSERT, into: 'c' }], files))).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF013', path: 'c.csv' },
    });
  });

  it('counts as loaded once a baseline of the file has said so', async () => {
    await deployed(bundle([INSERT]));
    const there = bundle([{ ...INSERT, into: 'b' }]);
    expect(await deployFiles(connectOver(database.url), there, { mode: 'baseline' })).toMatchObject({ state: 'succeeded' });
    expect(stateOf(await deployed(there))).toBe('skipped');
    expect(await keys('b')).toEqual([]);
  });
});

describe('the same table by another name', () => {
  it.each([
    ['what is only inserted', INSERT],
    ['data that a table is brought in line with', UPSERT],
  ])('is followed, and nothing runs: %s', async (_, load) => {
    await deployed(bundle([load]));
    await sql(database.url, `update a set v = 'edited'`);
    const files = { ...CSV, 's.sql': 'alter table a rename to c' };
    const renamed = bundle([{ run: 's.sql' }, { ...load, into: 'c' }], files);
    expect(stateOf(await deployed(renamed))).toBe('skipped');
    expect(await sql(database.url, 'select distinct v from c')).toEqual([{ v: 'edited' }]);
    const [event] = await sql(database.url, `select data - 'step' as data from weft.events where kind = 'step_left_out'`);
    expect(event).toEqual({ data: { same_table: 'public.c' } });
    expect(await deployed(renamed)).toMatchObject({ phases: [{ steps: [{ state: 'skipped' }, { state: 'skipped' }] }] });
    expect(await reworded()).toHaveLength(1);
  });

  it('is followed where it was given that name before, also with its schema in front', async () => {
    await deployed(bundle([INSERT]));
    await sql(database.url, 'alter table a rename to c');
    await deployed(bundle([{ run: 's.sql' }, { ...INSERT, into: 'c' }], { ...CSV, 's.sql': 'select 1' }));
    expect(stateOf(await deployed(bundle([{ ...INSERT, into: 'public.c' }])))).toBe('skipped');
    expect(await keys('c')).toEqual(['1', '2']);
    expect(await reworded()).toEqual([
      { path: 'c.csv', does: 'follows' },
      { path: 'c.csv', does: 'follows' },
    ]);
  });

  it.each([
    ['what is only inserted', INSERT, 1],
    ['what is only inserted, a deployment later', INSERT, 2],
    ['data that a table is brought in line with', UPSERT, 1],
  ])('is followed where a migration has made it anew under the name that it had: %s', async (_, load, times) => {
    await deployed(bundle([load]));
    const files = { ...CSV, 's.sql': 'create table n (like a including all); insert into n select * from a; drop table a; alter table n rename to a' };
    for (let time = 0; time < times; time++) await deployed(bundle([load, { run: 's.sql' }], files));
    await sql(database.url, `update a set v = 'edited'`);
    expect(stateOf(await deployed(bundle([{ ...load, into: 'public.a' }, { run: 's.sql' }], files)))).toBe('skipped');
    expect(await sql(database.url, 'select distinct v from a')).toEqual([{ v: 'edited' }]);
    expect(await reworded()).toEqual([{ path: 'c.csv', does: 'follows' }]);
  });

  it('is found on the path of the phase', async () => {
    await sql(database.url, 'create schema other; create table other.c (k text, v text)');
    await deployed(bundle([INSERT]));
    await sql(database.url, 'alter table a set schema other; drop table other.c; alter table other.a rename to c');
    expect(stateOf(await deployed(bundle([{ ...INSERT, into: 'c' }], CSV, 'single', { settings: { search_path: 'other' } })))).toBe('skipped');
  });

  it('is known under its new name where a migration makes it anew later', async () => {
    const steps = [{ run: 's/*.sql' }, UPSERT];
    await deployed(bundle(steps, { ...CSV, 's/1.sql': 'select 1' }));
    const renamed = { ...CSV, 's/1.sql': 'select 1', 's/2.sql': 'alter table a rename to c' };
    await deployed(bundle([{ run: 's/*.sql' }, { ...UPSERT, into: 'c' }], renamed));
    const anew = { ...renamed, 's/3.sql': 'drop table c; create table c (k text primary key, v text)' };
    await deployed(bundle([{ run: 's/*.sql' }, { ...UPSERT, into: 'c' }], anew));
    expect(await keys('c')).toEqual(['1', '2']);
  });
});

describe('other words', () => {
  it.each([
    ['mode', { mode: 'sync' }, [['1', '2']]],
    ['key', { key: ['k', 'v'] }, [['1', '2', '9']]],
  ])('of data that a table is brought in line with run it again: %s', async (_, words, expected) => {
    await deployed(bundle([UPSERT]));
    await sql(database.url, `insert into a values ('9', 'nine')`);
    await deployed(bundle([{ ...UPSERT, ...words }]));
    expect([await keys('a')]).toEqual(expected);
    expect(await reworded()).toEqual([{ path: 'c.csv', does: 'runs' }]);
  });

  it('run it again also under another path', async () => {
    await deployed(bundle([UPSERT]));
    await deployed(bundle([{ ...UPSERT, load: 'd.csv', into: 'b' }], { 'd.csv': CSV['c.csv'] }));
    expect(await keys('b')).toEqual(['1', '2']);
  });

  it('that say the same as before are none', async () => {
    await deployed(bundle([UPSERT]));
    expect(stateOf(await deployed(bundle([{ ...UPSERT, delimiter: ',', format: 'csv', on_error: 'continue' }])))).toBe('skipped');
    expect(await reworded()).toEqual([]);
  });

  it('by which rows are read that were only inserted are refused before anything runs', async () => {
    await deployed(bundle([INSERT]));
    const refused = await deploy(bundle([{ ...INSERT, null_as: 'two' }]));
    expect(refused).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF013',
        path: 'c.csv',
        message: 'c.csv was applied before with other words.',
        detail: expect.stringContaining('null_as: two, and was not said'),
      },
    });
    expect(await sql(database.url, 'select count(v)::int as n from a')).toEqual([{ n: 2 }]);
  });

  it('that make of data which is brought in line something that is only inserted run nothing: its rows are there', async () => {
    await deployed(bundle([UPSERT]));
    expect(stateOf(await deployed(bundle([INSERT])))).toBe('skipped');
    expect(stateOf(await deployed(bundle([INSERT])))).toBe('skipped');
    expect(await reworded()).toEqual([{ path: 'c.csv', does: 'stays' }]);
  });

  it('of a batch that is through run nothing, and are told once', async () => {
    const file = { 'b.sql': `update a set v = 'x' where k in (select k from a where k > :'cursor' order by k limit :size) returning k as cursor` };
    const batch = (cursor: string) => bundle([{ batch: 'b.sql', size: 10, cursor }], file, 'auto');
    await sql(database.url, `insert into a values ('1', ''), ('5', '')`);
    await deployed(batch('3'));
    expect(stateOf(await deployed(batch('0')), 'b.sql')).toBe('skipped');
    await deployed(batch('0'));
    expect(await sql(database.url, 'select k, v from a order by k')).toEqual([
      { k: '1', v: '' },
      { k: '5', v: 'x' },
    ]);
    expect(await reworded()).toEqual([{ path: 'b.sql', does: 'stays' }]);
  });
});

it('a step that has become of another kind runs nothing, and says so once', async () => {
  const file = { 'b.sql': 'update a set v = v where k in (select k from a where v is null limit :size)' };
  await deployed(bundle([{ batch: 'b.sql', size: 10 }], file, 'auto'));
  await deployed(bundle([{ run: 'b.sql' }], file, 'auto'));
  expect(await reworded()).toEqual([{ path: 'b.sql', does: 'stays' }]);
});

it('an undo gives a table back what the words before had brought, and the words with it', async () => {
  await deployed(bundle([{ ...UPSERT, mode: 'sync' }]));
  await sql(database.url, `insert into a values ('9', 'nine')`);
  const partly = { ...UPSERT, mode: 'sync', where: `k < '5'` };
  await deployed(bundle([partly]));
  expect(await keys('a')).toEqual(['1', '2', '9']);
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
  expect(await keys('a')).toEqual(['1', '2']);
  expect(stateOf(await deployed(bundle([{ ...UPSERT, mode: 'sync' }])))).toBe('skipped');
});
