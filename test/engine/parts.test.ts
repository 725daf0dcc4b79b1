/**
 * The engine stays as it was laid, whatever the files of a bundle name: what a file would take from schema weft, change in it or add to it fails
 * with its transaction. A dump of a database that has Weft in it does all three.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await deploy('select 1');
});

afterEach(() => database.drop());

const deploy = (text: string, transaction: 'single' | 'per-step' | 'none' | 'auto' = 'per-step', path = '1.sql') =>
  deployFiles(connectOver(database.url), { [path]: text }, { transaction, bundle: `b${Math.random()}` });
const parts = async () => (await sql(database.url, 'select jsonb_object_agg(part, definition) as parts from weft._list_parts()'))[0].parts;

const CHANGES = [
  ['a trigger that goes', 'drop trigger receipts_are_never_changed on weft._receipts', /without trigger receipts_are_never_changed on weft\._receipts/],
  ['a trigger that is disabled', 'alter table weft._receipts disable trigger receipts_are_never_changed', /with another trigger receipts_are_never_changed/],
  [
    'a constraint that goes',
    'alter table weft._history drop constraint an_artifact_is_applied_once',
    /without .*constraint an_artifact_is_applied_once on weft\._history/,
  ],
  ['a default that goes', 'alter table weft._lease alter is_the_one drop default', /without default value for weft\._lease\.is_the_one/],
  ['a column that goes', 'alter table weft._artifacts drop size', /with another table weft\._artifacts/],
  ['a column that comes', 'alter table weft._artifacts add more int', /with another table weft\._artifacts/],
  [
    'a function that is another one',
    'create or replace function weft.version() returns int language sql as $$ select 7 $$',
    /with another function weft\.version/,
  ],
  [
    'a function that goes, and one that comes in its place',
    'drop function weft.version(); create function weft.version() returns int language sql as $$ select 7 $$',
    /function weft\.version/,
  ],
  ['a function with another name', 'alter function weft._skip_comments(text) rename to skip', /without function weft\._skip_comments/],
  ['a view that is another one', 'create or replace view weft.history as select h.* from (table weft.history) as h', /another/],
  ['a table with another name', 'alter table weft._receipts rename to _receipts_of_old', /without table weft\._receipts,.* with table weft\._receipts_of_old,/],
  ['row security', 'alter table weft._receipts enable row level security', /with another table weft\._receipts/],
  ['a policy', 'create policy p on weft._receipts', /with policy p on weft\._receipts/],
  ['a rule', 'create rule r as on delete to weft._receipts do instead nothing', /with rule r on weft\._receipts/],
  ['a collation', `create collation weft.c (locale = 'C')`, /with collation weft\.c/],
  ['an operator', 'create operator weft.=== (leftarg = int, rightarg = int, function = int4eq)', /with operator weft\.===/],
  ['a text search configuration', 'create text search configuration weft.ts (copy = simple)', /with text search configuration weft\.ts/],
  ['statistics', 'create table public.t (a int, b int); create statistics weft.s on a, b from public.t', /with statistics object weft\.s/],
  ['a conversion', `create conversion weft.k for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1`, /with conversion weft\.k/],
  ['a publication', 'create publication p for table weft._history', /with publication relation weft\._history in publication p/],
  ['statistics of another schema on a table of Weft', 'create statistics public.s on path, digest from weft._history', /with statistics object public\.s/],
] as const;

describe.each(['per-step', 'none'] as const)('fails, and names it (WF016), under transaction: %s', (transaction) => {
  it.each(CHANGES)('%s', async (_, text, named) => {
    const before = await parts();
    expect(await deploy(text, transaction)).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF016', path: '1.sql', message: expect.stringMatching(named), hint: expect.stringContaining('pg_dump -N weft') },
    });
    expect(await parts()).toEqual(before);
  });
});

describe.each(['single', 'auto', 'per-step', 'none'] as const)('a file that drops the engine, under transaction: %s', (transaction) => {
  it.each(['drop schema weft cascade', 'drop function weft._reset_session(), weft._run_inside(text, jsonb, jsonb) cascade', 'drop owned by current_user'])(
    '%s',
    async (text) => {
      const before = await parts();
      expect(await deploy(`create table t (a int);\n${text};\ncreate table u (a int)`, transaction)).toMatchObject({
        state: 'failed',
        error: { sqlstate: 'WF016', path: '1.sql', line: 2, hint: expect.stringContaining('pg_dump -N weft') },
      });
      expect(await parts()).toEqual(before);
    },
  );
});

it('a dump of a database that has Weft in it says how it is made without', async () => {
  expect(await deploy('create schema weft;')).toMatchObject({
    state: 'failed',
    error: { sqlstate: '42P06', line: 1, hint: expect.stringContaining('pg_dump -N weft') },
  });
});

it('a file that meets the engine on its way through the catalog says what to leave out, and one that names what nobody has does not', async () => {
  const walk = `do $$ declare r record; begin for r in select relname from pg_class where relkind = 'r' and relname !~ '^(pg|sql)_' order by relname collate "C" desc loop
execute format('alter table %I set (fillfactor = 90)', r.relname); end loop; end $$`;
  expect(await deploy(walk)).toMatchObject({ state: 'failed', error: { sqlstate: '42P01', hint: expect.stringContaining('leave schema weft out') } });
  expect((await deploy('drop table _mine')).error?.hint).toBeUndefined();
});

it('a file may read what people read, and say who may, what it is called in words, and how it is stored', async () => {
  const text = `create role "r${Math.random()}"; grant usage on schema weft to public; grant select on weft.history to public; grant execute on function weft.version() to public;
revoke execute on function weft.version() from public; comment on view weft.history is 'ours'; alter table weft._events set (autovacuum_enabled = off); analyze weft._events;
grant select (path) on weft._history to public; create or replace function public.mine() returns int language sql as 'select 1'; alter function public.mine() stable`;
  expect(await deploy(text)).toMatchObject({ state: 'succeeded' });
});

it('what somebody does to the schema between two deployments is not the files’, and stands in nobody’s way', async () => {
  await sql(
    database.url,
    'create index by_path on weft._history (path); drop trigger receipts_are_never_changed on weft._receipts; create table weft.mine (a int)',
  );
  expect(await deploy('create table t (a int)')).toMatchObject({ state: 'succeeded' });
  expect(await deploy('drop table weft.mine')).toMatchObject({
    state: 'failed',
    error: { sqlstate: 'WF016', message: expect.stringContaining('without table weft.mine') },
  });
});
