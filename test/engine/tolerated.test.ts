/**
 * `on_error: continue`: a step that fails is taken back by itself and recorded; what is around it stays, and the deployment ends degraded.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { dropDatabase, freshDatabase, type TestDatabase, withDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { leave, sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (n int)');
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
const TRANSACTIONS = ['single', 'per-step', 'auto', 'none'] as const;
const RUNS: Files = {
  '1.sql': 'insert into journal values (1);',
  '2.sql': 'insert into journal values (2); select 1 / 0;',
  '3.sql': 'insert into journal values (3);',
};

const deployShop = (phases: readonly object[], files: Files) =>
  deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases }), ...files });
const journal = async () => (await sql(database.url, 'select n from journal order by n')).map(({ n }) => n);
const phaseOf = (transaction: string, more: object = {}) => ({
  name: 'main',
  transaction,
  ...more,
  steps: [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }, { run: '3.sql' }],
});

describe.each(TRANSACTIONS)('transaction: %s', (transaction) => {
  it('a tolerated step that fails is undone by itself, and the rest stays', async () => {
    const end = await deployShop([phaseOf(transaction)], RUNS);
    expect(end).toMatchObject({
      state: 'degraded',
      error: null,
      phases: [
        {
          state: 'succeeded',
          steps: [{ state: 'succeeded' }, { state: 'failed', error: { sqlstate: '22012', path: '2.sql', line: 1 } }, { state: 'succeeded' }],
        },
      ],
    });
    expect(await journal()).toEqual(transaction === 'none' ? [1, 2, 3] : [1, 3]);
    expect(await sql(database.url, `select path from weft.events where kind = 'step_tolerated'`)).toEqual([{ path: '2.sql' }]);
    expect(renderSummary(end, UNCOLOURED)).toMatch(/^Degraded\. shop is deployed, in .*, except for what may fail\.\n\n {2}2\.sql:1 {2}in phase main/);
  });

  it('the last step of all may fail, too', async () => {
    const phases = [{ name: 'main', transaction, steps: [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }] }];
    const { '3.sql': _, ...files } = RUNS;
    expect(await deployShop(phases, files)).toMatchObject({ state: 'degraded', phases: [{ state: 'succeeded' }] });
  });

  it("a phase's on_error is that of each of its steps, unless one says otherwise", async () => {
    const files = { ...RUNS, '3.sql': 'select 1 / 0' };
    const steps = [{ run: '1.sql' }, { run: '2.sql' }, { run: '3.sql', on_error: 'stop' }];
    expect(await deployShop([{ name: 'main', transaction, on_error: 'continue', steps }], files)).toMatchObject({ state: 'failed', error: { path: '3.sql' } });
    expect(await deployShop([{ name: 'main', transaction, on_error: 'continue', steps: steps.slice(0, 2).concat({ run: '3.sql' }) }], files)).toMatchObject({
      state: 'degraded',
      phases: [{ steps: [{}, { state: 'failed' }, { state: 'failed' }] }],
    });
  });

  it('the next deployment tries just that step again', async () => {
    await deployShop([phaseOf(transaction)], RUNS);
    const end = await deployShop([phaseOf(transaction)], {
      ...RUNS,
      '2.sql': transaction === 'none' ? 'insert into journal values (2); select 1;' : 'insert into journal values (2);',
    });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ state: 'skipped' }, { state: 'succeeded' }, { state: 'skipped' }] }] });
    expect(await journal()).toEqual([1, 2, 3]);
  });

  it('weft resume tries just that step again, with what has become of the database since', async () => {
    const files = { ...RUNS, '2.sql': 'insert into later values (2);' };
    const degraded = await deployShop([phaseOf(transaction), { name: 'after', steps: [{ run: '4.sql' }] }], {
      ...files,
      '4.sql': 'insert into journal values (4);',
    });
    expect(degraded).toMatchObject({ state: 'degraded' });
    const again = () => resume({ connect: connectOver(database.url), id: degraded.id, target: null, deadlineMs: 30_000 });
    expect(await again()).toMatchObject({ state: 'degraded', phases: [{ steps: [{}, { state: 'failed' }, {}] }, {}] });
    await sql(database.url, 'create table later (n int)');
    expect(await again()).toMatchObject({ state: 'succeeded', phases: [{ steps: [{}, { state: 'succeeded', error: null }, {}] }, {}] });
    expect(await sql(database.url, 'select n from later')).toEqual([{ n: 2 }]);
    expect(await journal()).toEqual([1, 3, 4]);
    expect(await again()).toMatchObject({ state: 'succeeded' });
    const [{ is_rest }] = await sql(
      database.url,
      `select bool_and((r ->> 'since')::timestamptz < (r ->> 'until')::timestamptz) and count(*) = 2 as is_rest from jsonb_array_elements(weft.status($1) -> 'rests') as r`,
      [degraded.id],
    );
    expect(is_rest).toBe(true);
    expect(await sql(database.url, `select kind from weft.events where kind in ('degraded', 'reopened', 'succeeded') order by number`)).toEqual(
      ['degraded', 'reopened', 'degraded', 'reopened', 'succeeded'].map((kind) => ({ kind })),
    );
  });

  it('what its session became leaks into no other step', async () => {
    const files = {
      ...RUNS,
      '2.sql': "set search_path to nowhere; set work_mem = '77MB'; select 1 / 0;",
      '3.sql': "insert into journal select 3 where current_setting('work_mem') <> '77MB';",
    };
    expect(await deployShop([phaseOf(transaction)], files)).toMatchObject({ state: 'degraded' });
    expect(await journal()).toEqual([1, 3]);
  });
});

describe('in a phase that is all or nothing', () => {
  it('a later failure takes back what was tolerated, too', async () => {
    const end = await deployShop([phaseOf('single')], { ...RUNS, '3.sql': 'select nothing' });
    expect(end).toMatchObject({ state: 'failed', phases: [{ state: 'failed', steps: [{ state: 'pending' }, { state: 'pending' }, { state: 'failed' }] }] });
    expect(await journal()).toEqual([]);
    expect(await sql(database.url, `select 1 from weft.events where kind = 'step_tolerated'`)).toEqual([]);
  });

  const DEFERRED = 'create table a (n int primary key); create table b (n int references a deferrable initially deferred);';

  it('a deferred constraint that a tolerated step breaks fails that step', async () => {
    const end = await deployShop([phaseOf('single')], { '1.sql': DEFERRED, '2.sql': 'insert into b values (1)', '3.sql': 'insert into journal values (3)' });
    expect(end).toMatchObject({
      state: 'degraded',
      phases: [{ steps: [{}, { state: 'failed', error: { sqlstate: '23503', path: '2.sql', constraint: 'b_n_fkey' } }, {}] }],
    });
    expect(await sql(database.url, 'select * from b')).toEqual([]);
    expect(await journal()).toEqual([3]);
  });

  it('one that is owed from before may still be paid behind it', async () => {
    const end = await deployShop([phaseOf('single')], {
      '1.sql': `${DEFERRED} insert into b values (1);`,
      '2.sql': 'insert into journal values (2)',
      '3.sql': 'insert into a values (1)',
    });
    expect(end).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual([2]);
  });

  it('a split that was wrong in a tolerated file is found as elsewhere', async () => {
    const odd = 'create rule r as on insert to journal do also (select 1; select 2);';
    expect(await deployShop([phaseOf('single')], { ...RUNS, '2.sql': odd })).toMatchObject({ state: 'succeeded' });
  });

  it('a statement that PostgreSQL runs in no transaction fails the step', async () => {
    expect(await deployShop([phaseOf('single')], { ...RUNS, '2.sql': 'create index concurrently on journal (n)' })).toMatchObject({
      state: 'degraded',
      phases: [{ steps: [{}, { error: { sqlstate: '25001', path: '2.sql' } }, {}] }],
    });
  });
});

it('opened again, a statement that goes apart looks anew for what it is about', async () => {
  const files = { '1.sql': 'insert into journal values (1);\ncreate index concurrently late_n on public.late (n);\ninsert into journal values (3);' };
  const phase = { name: 'main', transaction: 'none', on_error: 'continue', steps: [{ run: '1.sql' }] };
  const { id, state } = await deployShop([phase], files);
  expect(state).toBe('degraded');
  await sql(database.url, 'create table late (n int)');
  const end = await resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 30_000 });
  expect(end, JSON.stringify(end.phases[0]?.steps[0]?.error)).toMatchObject({ state: 'succeeded' });
  expect(await journal()).toEqual([1, 3]);
  expect(await sql(database.url, `select indisvalid from pg_index where indexrelid = 'late_n'::regclass`)).toEqual([{ indisvalid: true }]);
});

it('what was taken back is not tried again', async () => {
  const phases = [
    {
      name: 'main',
      steps: [
        { run: '1.sql', undo: 'u.sql' },
        { run: '2.sql', on_error: 'continue' },
      ],
    },
  ];
  const { id } = await deployShop(phases, { '1.sql': 'create table t (n int)', 'u.sql': 'drop table t', '2.sql': 'insert into later values (1)' });
  const [{ undo }] = await sql(database.url, `select weft.undo($1, p_partly => true) ->> 'deployment' as undo`, [id]);
  await sql(database.url, 'create table later (n int)');
  const again = () => resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 30_000 });
  await expect(again(), 'an undo in line').rejects.toMatchObject({ message: expect.stringContaining(undo) });
  await sql(database.url, `call weft.run('${undo}')`);
  await expect(again(), 'an undo that is over').rejects.toMatchObject({ message: expect.stringContaining('has been taken back') });
  expect(await sql(database.url, 'select n from later')).toEqual([]);
});

it('in a copy of the database, what ended degraded in its original stays as it is, and is tried again by the next deployment', async () => {
  const phases = [phaseOf('single')];
  const files = { ...RUNS, '2.sql': 'insert into later values (2);' };
  const { id } = await deployShop(phases, files);
  await sql(database.url, 'create table later (n int)');
  await leave(database.url);
  const copy = `${database.name}_copy`;
  await sql(withDatabase(database.url, 'postgres'), `create database ${copy} template ${database.name}`);
  const url = withDatabase(database.url, copy);
  try {
    await expect(resume({ connect: connectOver(url), id, target: null, deadlineMs: 30_000 })).rejects.toMatchObject({
      slug: 'copied_database',
      facts: { sqlstate: 'WF017' },
    });
    expect(await sql(url, 'select state, error from weft._deployments')).toEqual([{ state: 'degraded', error: null }]);
    expect(await deployFiles(connectOver(url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases }), ...files })).toMatchObject({ state: 'succeeded' });
    expect(await sql(url, 'select n from later union all select n from journal order by n')).toEqual([1, 2, 3].map((n) => ({ n })));
  } finally {
    await dropDatabase(database.url, copy);
  }
  expect(await resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 30_000 })).toMatchObject({ state: 'succeeded' });
});

it('a step that says how it would tie something to schema weft fails, and the rest stays', async () => {
  const end = await deployShop([phaseOf('single')], { ...RUNS, '2.sql': 'create view tied as select * from weft.history' });
  expect(end).toMatchObject({ state: 'degraded', phases: [{ steps: [{}, { error: { sqlstate: 'WF016', path: '2.sql' } }, {}] }] });
});

describe('opened again behind a later deployment', () => {
  const phases = (words: object) => [
    { name: 'main', on_error: 'continue', steps: [{ run: '1.sql' }, { run: '2.sql', ...words }, { load: 'd.csv', into: 'goods', key: ['k'], mode: 'sync' }] },
  ];
  const files = (value: number) => ({ '1.sql': 'select 1;', '2.sql': `insert into journal select ${value} from later;`, 'd.csv': `k\n${value}\n` });
  const goods = async () => (await sql(database.url, 'select k from goods')).map(({ k }) => k);

  it.each([
    ['once', {}],
    ['on-change', { repeat: 'on-change' }],
    ['always', { repeat: 'always' }],
  ])('it leaves to that one what it has brought since, and says so: what ran %s, and data', async (_, words) => {
    const older = await deployShop(phases(words), files(1));
    expect(older).toMatchObject({ state: 'degraded', phases: [{ steps: [{ state: 'succeeded' }, { state: 'failed' }, { state: 'failed' }] }] });
    await sql(database.url, 'create table later as select; create table goods (k int primary key)');
    const newer = await deployShop(phases(words), files(2));
    expect(newer.state).toBe('succeeded');
    const again = await resume({ connect: connectOver(database.url), id: older.id, target: null, deadlineMs: 30_000 });
    expect(again).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{}, { state: 'skipped', result: { overtaken_by: newer.id } }, { state: 'skipped', result: { overtaken_by: newer.id } }] }],
    });
    expect([await journal(), await goods()]).toEqual([[2], [2]]);
    expect(await sql(database.url, `select path, data from weft.events where kind = 'overtaken' order by number`)).toEqual([
      { path: '2.sql', data: { by: newer.id } },
      { path: 'd.csv', data: { by: newer.id } },
    ]);
    expect((await deployShop(phases(words), files(2))).phases[0]?.steps.map(({ state }) => state)).toEqual([
      'skipped',
      'repeat' in words && words.repeat === 'always' ? 'succeeded' : 'skipped',
      'skipped',
    ]);
  });

  it('it tries again what the later one has not come to either', async () => {
    const older = await deployShop(phases({}), files(1));
    await deployShop(phases({}), files(2));
    await sql(database.url, 'create table later as select; create table goods (k int primary key)');
    expect(await resume({ connect: connectOver(database.url), id: older.id, target: null, deadlineMs: 30_000 })).toMatchObject({
      state: 'succeeded',
    });
    expect([await journal(), await goods()]).toEqual([[1], [1]]);
  });
});
