/** What a repeatable file makes is known also where the cluster's counter of OIDs has begun anew, and new objects have lower ones than old. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, shutGate } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const FILES = {
  'weft.yaml': 'name: shop\nphases: [{ name: code, transaction: single, steps: [{ run: "v/*.sql", repeat: on-change }] }]',
  'v/1.sql': 'create or replace function mine() returns int language sql as $$ select 1 $$;',
  'v/2.sql':
    'create or replace view seen as select mine() as n; create or replace function old() returns int language sql as $$ select 2 $$; create table if not exists t (n int); drop policy if exists p on t; create policy p on t using (true);',
};
const deployShop = () => deployFiles(connectOver(database.url), FILES);
const made = async () =>
  (
    await sql(database.url, `select path, array(select o ->> 'name' from jsonb_array_elements(made) as o order by 1) as names from weft._history order by path`)
  ).map((row) => [row.path, row.names]);
const MADE = [
  ['v/1.sql', ['public.mine()']],
  ['v/2.sql', ['p', 'public.old()', 'public.seen', 'public.t']],
];
const OLD = 'create function old() returns int language sql as $$ select 1 $$';

/** Gives a function the number that the last object before the turn would have. */
async function turnCounter(): Promise<void> {
  await sql(
    database.superuserUrl ?? '',
    `set allow_system_table_mods = on; update pg_depend set objid = 4294967000 where classid = 'pg_proc'::regclass and objid = 'old'::regproc; update pg_proc set oid = 4294967000 where proname = 'old'`,
  );
}

it.runIf(offers('a superuser')).each([false, true])('and is called back (the counter has begun anew: %s)', async (hasTurned) => {
  await sql(database.url, OLD);
  if (hasTurned) await turnCounter();
  expect(await deployShop()).toMatchObject({ state: 'succeeded' });
  expect(await made()).toEqual(MADE);
  await sql(database.url, 'drop function mine() cascade; drop policy p on t');
  expect(await deployShop()).toMatchObject({ phases: [{ steps: [{ state: 'succeeded' }, { state: 'succeeded' }] }] });
  expect(await sql(database.url, 'select n, (select count(*)::int from pg_policy) as policies from seen')).toEqual([{ n: 1, policies: 1 }]);
});

it('and is its own where it runs apart too: not what another session commits meanwhile under a name that only looks like one of its words', async () => {
  await sql(database.url, 'create table t (n int)');
  const gate = await shutGate(database.url);
  const apart = { name: 'p', transaction: 'none', steps: [{ run: 'v/*.sql', repeat: 'on-change' }] };
  const running = deployFiles(connectOver(database.url), {
    'weft.yaml': JSON.stringify({ name: 'shop', phases: [apart] }),
    'v/1.sql': `create or replace view "a""b" as select n from t; ${AT_THE_GATE} create index concurrently if not exists of_t on t (n);`,
  });
  await gate.reached();
  await sql(database.url, 'create view "t""" as select 1 as x; create view "t(x" as select 1 as x; create view "odd.t" as select 1 as x');
  await gate.open();
  expect(await running).toMatchObject({ state: 'succeeded' });
  expect(await made()).toEqual([['v/1.sql', ['public."a""b"', 'public.of_t']]]);
});

it('and is its own, not what another session commits while the file runs', async () => {
  const gate = await shutGate(database.url);
  const running = deployFiles(connectOver(database.url), {
    ...FILES,
    'v/1.sql': `create or replace view va as select 1 as a; ${AT_THE_GATE}
      do $$ begin create function within() returns int language sql as 'select 1'; exception when others then null; end $$;`,
    'v/2.sql': 'create or replace view vb as select a from va',
  });
  await gate.reached();
  await sql(database.url, 'create view others as select 1 as x; create function otherf() returns int language sql as $$ select 1 $$');
  await gate.open();
  expect(await running).toMatchObject({ state: 'succeeded' });
  expect(await made()).toEqual([
    ['v/1.sql', ['public.va', 'public.within()']],
    ['v/2.sql', ['public.vb']],
  ]);
});
