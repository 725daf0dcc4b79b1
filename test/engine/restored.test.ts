/** A database that was dumped and restored: every object has another number there, and none has lost what the engine knows of it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { pathsIn, undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;

const bundle = (steps: readonly object[], files: Files): Files => ({
  ...files,
  'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p', transaction: 'per-step', steps }] }),
});
const deploy = (files: Files) => deployFiles(connectOver(database.url), files);
const calledBack = () => sql(database.url, `select distinct path from weft.events where kind = 'called_back'`);

async function deployed(files: Files) {
  const end = await deploy(files);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return Object.fromEntries(end.phases.flatMap(({ steps }) => steps.map(({ path, state }) => [path, state])));
}

/** As pg_dump and a restore leave the rows: their numbers are of another catalog, also that of the engine's own table, and may be anybody's here. */
const restore = (number = '4000000000') =>
  sql(
    database.url,
    `update weft._history set table_oid = ${number}::oid where table_oid <> 0;
     update weft._steps set replaced = replaced || jsonb_build_object('table_oid', ${number}::oid) where replaced ->> 'table_oid' <> '0';
     update weft._lease set numbered_as = 4000000001::oid`,
  );

const STEPS = [
  { run: 's/*.sql', undo: 'u/*.sql' },
  { load: 'cur.csv', into: 'cur', key: ['code'], mode: 'sync' },
  { load: 'ord.csv', into: 'ord' },
];
const FIRST: Files = {
  's/1.sql': 'create table cur (code text primary key, name text); create table ord (id int)',
  'u/1.sql': 'select 1',
  'cur.csv': 'code,name\nA,one\nB,two\n',
  'ord.csv': 'id\n1\n2\n',
};
const currencies = async () => (await sql(database.url, 'select code, name from cur order by 1')).map(({ code, name }) => `${code} ${name}`);
const orders = async () => (await sql(database.url, 'select id from ord order by 1')).map(({ id }) => id);

describe('behind a deployment that has committed something and failed', () => {
  const broken = { ...FIRST, 's/2.sql': 'create table two (n int)', 'u/2.sql': 'select 1', 's/3.sql': 'select 1 / 0', 'u/3.sql': 'select 1' };

  it.each(['4000000000', `'ord'::regclass`, `'cur'::regclass`])('data is not loaded over what the application has written (numbers: %s)', async (number) => {
    await deployed(bundle(STEPS, FIRST));
    await sql(database.url, `insert into cur values ('C', 'by the application'); update cur set name = 'edited' where code = 'A'`);
    expect((await deploy(bundle(STEPS, broken))).state).toBe('failed');
    await restore(number);
    expect(await deployed(bundle(STEPS, { ...broken, 's/3.sql': 'select 3' }))).toMatchObject({ 'cur.csv': 'skipped', 'ord.csv': 'skipped' });
    expect(await currencies()).toEqual(['A edited', 'B two', 'C by the application']);
    expect(await calledBack()).toEqual([]);
  });

  it.each([
    ['with its data', STEPS],
    ['without its data', STEPS.slice(0, 1)],
  ])('data comes again all the same whose table that one has made anew: %s', async (_, steps) => {
    await deployed(bundle(STEPS, FIRST));
    const anew = { ...broken, 's/2.sql': 'drop table cur; create table cur (code text primary key, name text)' };
    expect((await deploy(bundle(steps, anew))).state).toBe('failed');
    await restore();
    expect(await deployed(bundle(STEPS, { ...anew, 's/3.sql': 'select 3' }))).toMatchObject({ 'cur.csv': 'succeeded', 'ord.csv': 'skipped' });
    expect(await currencies()).toEqual(['A one', 'B two']);
    expect(await calledBack()).toEqual([{ path: 'cur.csv' }]);
  });

  it('and so it does in a copy that the server has made of its files, where numbers are what they were', async () => {
    await deployed(bundle(STEPS, FIRST));
    const anew = { ...broken, 's/2.sql': 'drop table cur; create table cur (code text primary key, name text)' };
    expect((await deploy(bundle(STEPS, anew))).state).toBe('failed');
    await sql(database.url, `update weft._deployments set origin = origin || '{"database": 1}'`);
    expect(await deployed(bundle(STEPS, { ...anew, 's/3.sql': 'select 3' }))).toMatchObject({ 'cur.csv': 'succeeded' });
    expect(await currencies()).toEqual(['A one', 'B two']);
  });
});

it('behind an undo that has failed, what was inserted stays in the history, and is not inserted twice', async () => {
  await sql(database.url, 'create table way (n int)');
  const files = { ...FIRST, 's/0.sql': 'select 1', 'u/0.sql': 'select 1 / (select count(*) from way)' };
  await deployed(bundle(STEPS, files));
  expect(await undo(database.url, 'p_partly => true')).toMatchObject({ state: 'failed', error: { path: 'u/0.sql' } });
  await restore();
  await sql(database.url, 'insert into way values (1)');
  expect(await undo(database.url, 'p_partly => true')).toMatchObject({ state: 'succeeded' });
  expect(await pathsIn(database.url)).toEqual(['cur.csv', 'ord.csv']);
  await deployed(bundle(STEPS, { ...files, 's/1.sql': 'select 1' }));
  expect(await orders()).toEqual([1, 2]);
});

it('a table that is gone is not taken for another one which has its number now', async () => {
  const gone = { 's/1.sql': 'create table old (k int primary key)', 'u/1.sql': 'select 1', 'old.csv': 'k\n1\n' };
  const steps = [STEPS[0] as object, { load: 'old.csv', into: 'old', key: ['k'], mode: 'sync' }];
  await deployed(bundle(steps, gone));
  await sql(database.url, 'drop table old; create table other (k int primary key); insert into other values (7)');
  await restore(`'other'::regclass`);
  await deployed(bundle(steps.slice(0, 1), { ...gone, 's/2.sql': 'select 2', 'u/2.sql': 'select 2' }));
  expect(await sql(database.url, `select table_name, table_oid from weft._history where path = 'old.csv'`)).toEqual([
    { table_name: 'public.old', table_oid: null },
  ]);
});

it.each(['4000000000', `'cur'::regclass`])('"into" may be written with its schema, for a deployment and in a plan (numbers: %s)', async (number) => {
  await deployed(bundle(STEPS, FIRST));
  await restore(number);
  const words = [...STEPS.slice(0, 2), { load: 'ord.csv', into: 'public.ord' }];
  expect(await deployed(bundle(words, FIRST))).toMatchObject({ 'ord.csv': 'skipped' });
  expect(await sql(database.url, `select data ->> 'does' as does from weft.events where kind = 'reworded'`)).toEqual([{ does: 'follows' }]);
  expect(await orders()).toEqual([1, 2]);
});

it('a baseline that is withdrawn gives back the tables by the numbers that they have here', async () => {
  await deployed(bundle(STEPS, FIRST));
  const { id } = await deployFiles(connectOver(database.url), bundle(STEPS, { ...FIRST, 'cur.csv': 'code,name\nA,uno\n' }), { mode: 'baseline' });
  await restore();
  expect(await undo(database.url, `'${id}'`)).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, `select path from weft._history where table_oid = to_regclass(table_name) order by 1`)).toEqual([
    { path: 'cur.csv' },
    { path: 'ord.csv' },
  ]);
});

describe('a file that had stopped at a statement which runs in no transaction', () => {
  const IS_INDEX = (name: string) => `select to_regclass('${name}') is not null as is_there`;
  const IS_PARTITION = `select exists (select from pg_inherits where inhrelid = 'p_1'::regclass) as is_there`;

  describe.each([
    ['create index concurrently made on t (n)', IS_INDEX('made'), true],
    ['drop index concurrently old', IS_INDEX('old'), false],
    ['reindex index concurrently old', IS_INDEX('old'), true],
    ['alter table p detach partition p_1 concurrently', IS_PARTITION, false],
  ])('%s', (statement, question, isThere) => {
    it.each([false, true])('goes on where the catalog is, whatever its objects are numbered by now (it had run, and nobody knew: %s)', async (hasRun) => {
      await sql(
        database.url,
        `create table journal (n int); create table t (n int); create index old on t (n);
         create table p (n int) partition by range (n); create table p_1 partition of p for values from (0) to (9)`,
      );
      const files = bundle([{ run: '*.sql' }], { '1.sql': `insert into journal values (1);\n${statement};\ninsert into journal values (2);` });
      const apart = { ...files, 'weft.yaml': (files['weft.yaml'] as string).replace('per-step', 'none') };
      const id = await stageFiles(database.url, apart);
      const client = await database.client();
      const [{ result }] = (await client.query(`call weft.run('${id}')`)).rows;
      expect(result.directive.statement.trim()).toBe(statement);
      if (hasRun) await client.query(statement);
      await client.end();
      await sql(database.url, `update weft._statements set judge = regexp_replace(judge::text, '\\d{4,}', '4000000000', 'g')::jsonb where judge is not null`);
      await sql(database.url, `update weft._deployments set origin = origin || '{"database": 1}'`);
      await restore();
      expect(await deployed(apart)).toEqual({ '1.sql': 'succeeded' });
      expect(await sql(database.url, question)).toEqual([{ is_there: isThere }]);
      expect(await sql(database.url, 'select n from journal order by n')).toEqual([{ n: 1 }, { n: 2 }]);
      expect(await sql(database.url, 'select state from weft.deployments order by created_at')).toEqual([{ state: 'cancelled' }, { state: 'succeeded' }]);
    });
  });
});

it('a dump of the schema alone brings the engine without a row: what is deployed there begins with an empty history, and the engine is whole', async () => {
  await sql(database.url, 'delete from weft._lease; delete from weft._installations');
  const granting = { ...FIRST, 's/1.sql': `${FIRST['s/1.sql']}; grant select on weft.history to public` };
  expect(await deployed(bundle(STEPS, granting))).toMatchObject({ 's/1.sql': 'succeeded', 'ord.csv': 'succeeded' });
  const meddling = await deploy(bundle(STEPS, { ...granting, 's/2.sql': 'create table weft.mine (n int)', 'u/2.sql': 'select 1' }));
  expect(meddling).toMatchObject({ state: 'failed', error: { sqlstate: 'WF016' } });
  expect(await orders()).toEqual([1, 2]);
});

it('a sequence that a copy of the rows alone has left behind gives no place in line a second time', async () => {
  await deployed(bundle(STEPS, FIRST));
  await deployed(bundle(STEPS, { ...FIRST, 's/2.sql': 'select 2', 'u/2.sql': 'select 1' }));
  await sql(database.url, `select setval('weft._places', 1, false)`);
  await deployed(bundle(STEPS, { ...FIRST, 's/3.sql': 'select 3', 'u/3.sql': 'select 1' }));
  await deployed(bundle(STEPS, { ...FIRST, 's/4.sql': 'select 4', 'u/4.sql': 'select 1' }));
  expect(await sql(database.url, 'select place::int from weft._deployments order by staged_at')).toEqual([1, 2, 3, 4].map((place) => ({ place })));
});
