/** Files that run again because something of theirs has gone: also behind a file that runs statement by statement, and once more where that failed. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table t (id int, a int)');
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
const bundle = (files: Files, words: object): Record<string, string> => ({
  'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'code', ...words, steps: [{ run: '*.sql', repeat: 'on-change' }] }] }),
  ...files,
});
const send = (files: Files, words: object, mode: 'apply' | 'rehearse' = 'apply') => deployFiles(connectOver(database.url), bundle(files, words), { mode });
const base = (columns: string, more = '') => `drop view if exists va cascade; ${more} create view va as select ${columns} from t;`;
const views = async () => (await sql(database.url, `select viewname as name from pg_views where schemaname = 'public' order by 1`)).map(({ name }) => name);
const called = async () =>
  (await sql(database.url, `select path from weft.events where kind = 'called_back' order by deployment_id, number`)).map(({ path }) => path);

describe.each([
  ['none', ''],
  ['auto', 'vacuum t;'],
] as const)('under transaction: %s, of a file that ran statement by statement', (transaction, more) => {
  const dependent = { '2.sql': 'create or replace view vb as select id from va', '3.sql': 'create or replace view vc as select id from vb' };

  it('what it has taken along of files behind it is made again in their place, with what it had', async () => {
    await send({ '1.sql': base('id', more), ...dependent }, { transaction });
    await sql(database.url, 'grant select on vb to public');
    const end = await send({ '1.sql': base('id, a', more), ...dependent }, { transaction });
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await views()).toEqual(['va', 'vb', 'vc']);
    expect(await called()).toEqual(['2.sql', '3.sql']);
    expect(await sql(database.url, `select has_table_privilege('public', 'vb', 'select') as is_open`)).toEqual([{ is_open: true }]);
  });

  it('what it has taken along of files before it is meant to be gone', async () => {
    const files = { '1.sql': 'create or replace view va as select 1 as id;', '2.sql': `${more} select 1;` };
    await send(files, { transaction });
    await send({ ...files, '2.sql': `${more} drop view va;` }, { transaction });
    expect(await views()).toEqual([]);
    expect(await send(files, { transaction })).toMatchObject({ state: 'succeeded' });
    expect([await views(), await called()]).toEqual([[], []]);
  });
});

it.each(['single', 'per-step', 'auto', 'none'])(
  'a file that was to be made again, and failed where that is tolerated, is tried again: %s',
  async (transaction) => {
    const words = { transaction, on_error: 'continue' };
    const dependent = { '2.sql': 'create or replace view vb as select a from va' };
    expect(await send({ '1.sql': base('id, a'), ...dependent }, words)).toMatchObject({ state: 'succeeded' });
    expect(await send({ '1.sql': base('id'), ...dependent }, words)).toMatchObject({ state: 'degraded' });
    expect(await views()).toEqual(['va']);
    expect(await send({ '1.sql': base('id, a, 1 as k'), ...dependent }, words)).toMatchObject({ state: 'succeeded' });
    expect(await views()).toEqual(['va', 'vb']);
  },
);

it.each(['single', 'per-step'])(
  'a new file that needs what a changed one takes along lets those alone run again of which something has gone: %s',
  async (transaction) => {
    await sql(database.url, 'create table log (path text)');
    const logged = (path: string, text: string) => ({ [path]: `${text}; insert into log values ('${path}')` });
    const files = {
      ...logged('2.sql', 'create or replace view vb as select id from va'),
      ...logged('3.sql', 'create or replace view vc as select id from vb'),
      ...logged('4.sql', 'drop view if exists vd; create view vd as select a from t'),
    };
    expect(await send({ '1.sql': base('id'), ...files }, { transaction })).toMatchObject({ state: 'succeeded' });
    const end = await send({ '1.sql': base('id, a'), ...files, '5.sql': 'create view ve as select id from vc' }, { transaction });
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await views()).toEqual(['va', 'vb', 'vc', 'vd', 've']);
    expect((await sql(database.url, 'select path from log')).map(({ path }) => path).sort()).toEqual(['2.sql', '2.sql', '3.sql', '3.sql', '4.sql']);
  },
);

it.each(['single', 'per-step', 'auto'])(
  'a new file that needs what a migration takes along finds it made again, in a rehearsal too: %s',
  async (transaction) => {
    const phases = [{ name: 'schema', transaction, steps: [{ run: 'schema/*.sql' }, { run: 'code/*.sql', repeat: 'on-change' }] }];
    const words = { 'weft.yaml': JSON.stringify({ name: 'shop', phases }) };
    const one = { ...words, 'code/1.sql': 'create or replace view va as select id, a from t', 'schema/1.sql': 'select 1' };
    const two = {
      ...one,
      'schema/2.sql': 'drop view va; alter table t alter column a type bigint',
      'code/2.sql': 'create materialized view m as select a from va',
    };
    expect(await send(one, {})).toMatchObject({ state: 'succeeded' });
    const rehearsed = await send(two, {}, 'rehearse');
    expect(rehearsed.state, JSON.stringify(rehearsed.error)).toBe('succeeded');
    expect(rehearsed.rehearsal?.steps.map(({ path, state }) => `${path} ${state}`)).toEqual([
      'schema/2.sql succeeded',
      'code/1.sql succeeded',
      'code/2.sql succeeded',
    ]);
    expect(await send(two, {})).toMatchObject({ state: 'succeeded' });
  },
);

it.each(['single', 'per-step', 'auto', 'none'])('a view that was there, and that a file has replaced, is that file’s: %s', async (transaction) => {
  const replaces = { '2.sql': 'create or replace view vb as select id from va' };
  await sql(database.url, 'create view va as select id from t; create view vb as select id from va');
  await send({ '1.sql': 'select 1', ...replaces }, { transaction });
  expect(await send({ '1.sql': base('id, a'), ...replaces }, { transaction })).toMatchObject({ state: 'succeeded' });
  expect(await views()).toEqual(['va', 'vb']);
});

it('what somebody has dropped is not forgotten while a condition leaves its phase out', async () => {
  const files = { '1.sql': 'create or replace view va as select 1 as id' };
  await send(files, { when: 'true' });
  await sql(database.url, 'drop view va');
  expect(await send(files, { when: 'false' })).toMatchObject({ state: 'succeeded' });
  expect(await send(files, { when: 'true' })).toMatchObject({ state: 'succeeded' });
  expect(await views()).toEqual(['va']);
});

it.each(['single', 'per-step'])(
  'a tolerated file that lacks what nobody makes lets those of its group that have not changed stand by: %s',
  async (transaction) => {
    await sql(database.url, 'create table log (n int)');
    const words = { transaction, on_error: 'continue' };
    const files = {
      '1.sql': 'create or replace view va as select * from t; insert into log values (1)',
      '2.sql': 'create or replace view vb as select nope from va',
    };
    for (const _ of [1, 2, 3]) expect(await send(files, words)).toMatchObject({ state: 'degraded' });
    expect(await sql(database.url, 'select count(*)::int as runs from log')).toEqual([{ runs: 1 }]);
    const first = (await sql(database.url, `select id from weft.deployments order by place limit 1`))[0].id;
    expect(await sql(database.url, `select path, deployment_id as by from weft._history`)).toEqual([{ path: '1.sql', by: first }]);
  },
);

describe.each(['single', 'per-step', 'auto', 'none'])('behind a condition that was not true when something of its file was taken along: %s', (transaction) => {
  const again = { repeat: 'on-change' };
  const when = 'exists (select from gate)';
  it.each([
    [
      'of its step',
      [
        {
          steps: [
            { run: '1.sql', ...again },
            { run: '2.sql', ...again, when },
            { run: '3.sql', ...again },
          ],
        },
      ],
    ],
    ['of its phase', [{ steps: [{ run: '1.sql', ...again }] }, { when, steps: [{ run: '2.sql', ...again }] }, { steps: [{ run: '3.sql', ...again }] }]],
  ])('%s, it is made again as soon as that is true, whatever has run behind it', async (_, phases) => {
    const words = JSON.stringify({ name: 'shop', phases: phases.map((phase, at) => ({ name: `p${at}`, transaction, ...phase })) });
    const files = (columns: string): Files => ({
      'weft.yaml': words,
      '1.sql': base(columns),
      '2.sql': 'create or replace view vb as select id from va',
      '3.sql': `create or replace view vc as select ${columns} from t`,
    });
    await sql(database.url, 'create table gate (n int); insert into gate values (1)');
    expect(await deployFiles(connectOver(database.url), files('id'))).toMatchObject({ state: 'succeeded' });
    await sql(database.url, 'delete from gate');
    expect(await deployFiles(connectOver(database.url), files('id, a'))).toMatchObject({ state: 'succeeded' });
    expect(await views()).toEqual(['va', 'vc']);
    await sql(database.url, 'insert into gate values (1)');
    expect(await deployFiles(connectOver(database.url), files('id, a'))).toMatchObject({ state: 'succeeded' });
    expect(await views()).toEqual(['va', 'vb', 'vc']);
  });

  it('what is dropped behind it is meant to be gone', async () => {
    const steps = (at: number) => [{ run: `${at}.sql`, ...again }];
    const phases = [
      { name: 'a', transaction, when, steps: steps(1) },
      { name: 'b', transaction, steps: steps(2) },
    ];
    const files = (text: string): Files => ({
      'weft.yaml': JSON.stringify({ name: 'shop', phases }),
      '1.sql': 'create or replace view va as select 1 as id',
      '2.sql': text,
    });
    await sql(database.url, 'create table gate (n int); insert into gate values (1)');
    await deployFiles(connectOver(database.url), files('select 1'));
    await sql(database.url, 'delete from gate');
    expect(await deployFiles(connectOver(database.url), files('drop view va'))).toMatchObject({ state: 'succeeded' });
    await sql(database.url, 'insert into gate values (1)');
    expect(await deployFiles(connectOver(database.url), files('drop view va'))).toMatchObject({ state: 'succeeded' });
    expect(await views()).toEqual([]);
  });
});
