/**
 * What ALTER has said of an object that went with another one, and is made again by a file that has not changed: as whom a function runs, whom a
 * policy is for, whether a trigger fires, how a materialized view is stored. Nobody touched it, so it is as it was.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { deployWays, type PhaseOfWays, undo, type Way } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table t (id int, a int); alter table t enable row level security');
});

afterEach(() => database.drop());

const again = (run: string): Way => ({ run, repeat: 'on-change' });
/** An object that goes with another one: what makes each, what is said of it behind that, and what the catalog says then. */
const KINDS: readonly (readonly [string, string, string, string, string])[] = [
  [
    'a function: as whom it runs, with which settings, what it promises and costs',
    'drop type if exists ty cascade; create type ty as (a int)',
    `create or replace function uses(ty) returns setof int language sql stable as 'select 1'`,
    `create schema "odd, one"; alter function uses(ty) security definer set search_path = pg_catalog, "odd, one"; alter function uses(ty) set datestyle = 'German, DMY' set work_mem = '3MB';
     alter function uses(ty) immutable strict parallel safe cost 7 rows 3; revoke execute on function uses(ty) from public; comment on function uses(ty) is 'ours'`,
    `select prosecdef, proconfig, provolatile, proisstrict, proparallel, procost, prorows, proacl::text, obj_description(oid, 'pg_proc') from pg_proc where proname = 'uses'`,
  ],
  [
    'a function: settings that were taken from it',
    'drop type if exists ty cascade; create type ty as (a int)',
    `create or replace function uses(ty) returns int language sql security definer set search_path = public set work_mem = '8MB' as 'select 1'`,
    'alter function uses(ty) reset work_mem',
    `select proconfig from pg_proc where proname = 'uses'`,
  ],
  [
    'a procedure: as whom it runs',
    'drop type if exists ty cascade; create type ty as (a int)',
    `create or replace procedure uses(ty) language sql as 'select 1'`,
    'alter procedure uses(ty) security definer',
    `select prosecdef from pg_proc where proname = 'uses'`,
  ],
  [
    'a policy: whom it is for, and its conditions',
    `drop function if exists adm() cascade; create function adm() returns bool language sql as 'select true'`,
    'drop policy if exists "p o" on t; create policy "p o" on t using (adm())',
    'alter policy "p o" on t to current_user, pg_monitor using (adm() and id > 0) with check (id > 1); comment on policy "p o" on t is \'ours\'',
    `select polroles::regrole[]::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(oid, 'pg_policy') from pg_policy`,
  ],
  [
    'a trigger: when it fires',
    `drop function if exists base() cascade; create function base() returns trigger language plpgsql as 'begin return new; end'`,
    'create or replace trigger tg before insert on t for each row execute function base()',
    `alter table t enable always trigger tg; comment on trigger tg on t is 'ours'`,
    `select tgenabled, obj_description(oid, 'pg_trigger') from pg_trigger where tgname = 'tg'`,
  ],
  [
    'a materialized view: its statistics, and the index that it is clustered on',
    'drop materialized view if exists mv cascade; create materialized view mv as select a, id from t',
    'create materialized view if not exists mw as select a, id::text as "Name" from mv',
    'create index mwi on mw (a); alter table mw cluster on mwi; alter materialized view mw alter column "Name" set statistics 77, alter column "Name" set storage external, alter column a set (n_distinct = 5)',
    `select attname, attstattarget, attstorage, attoptions::text, indisclustered from pg_attribute as a left join pg_index as i on i.indrelid = a.attrelid where attrelid = 'mw'::regclass and attnum > 0 order by 1`,
  ],
];

describe.each(['single', 'per-step'] as const)('made again as it was, under transaction: %s:', (rule) => {
  it.each(KINDS)('%s', async (_, below, above, said, query) => {
    if (above.includes('or replace trigger') && Number((await sql(database.url, 'show server_version_num'))[0].server_version_num) < 14_00_00) return;
    const files = (more: string) => ({ 'v/1.sql': again(below + more), 'v/2.sql': again(above) });
    const end = await deployWays(database.url, { ...files(''), 'w.sql': { run: said } }, rule);
    expect(end.error).toBeNull();
    const before = await sql(database.url, query);
    const other = await deployWays(database.url, { ...files(' /* */; select 2'), 'w.sql': { run: said } }, rule);
    expect(other.error).toBeNull();
    expect(await sql(database.url, `select kind from weft.events where kind = 'called_back'`), 'it did go').toHaveLength(1);
    expect(await sql(database.url, query)).toEqual(before);
  });
});

it('what ALTER cannot say fails the file, which names it', async () => {
  const files = (more: string) => ({
    'v/1.sql': again(`drop function if exists adm() cascade; create function adm() returns bool language sql as 'select true'${more}`),
    'v/2.sql': again('drop policy if exists po on t; create policy po on t using (adm())'),
  });
  await deployWays(database.url, files(''));
  await sql(database.url, 'drop policy po on t; create policy po on t as restrictive for select using (adm())');
  expect(await deployWays(database.url, files('; select 2'))).toMatchObject({
    state: 'failed',
    error: {
      sqlstate: 'WF073',
      path: 'v/2.sql',
      message: expect.stringMatching(/po .* would lose: its command: it was r, and would be \*; its kind: it was restrictive, and would be permissive/),
    },
  });
  expect(await sql(database.url, 'select polpermissive from pg_policy')).toEqual([{ polpermissive: false }]);
});

describe('an undo that drops a function to make room', () => {
  const files = (columns: string) => ({
    'v/1.sql': { ...again(`create or replace view va as select ${columns} from t`) },
    'v/2.sql': { ...again(`create or replace function vf() returns setof va language sql stable as 'select * from va'`) },
  });

  it('makes it again as it was: as whom it runs, with which settings', async () => {
    await deployWays(database.url, files('id'));
    await sql(database.url, 'alter function vf() security definer set search_path = pg_catalog, public; alter function vf() cost 9');
    const query = `select prosecdef, proconfig, procost, provolatile from pg_proc where proname = 'vf'`;
    const before = await sql(database.url, query);
    expect((await deployWays(database.url, files('id, a'))).error).toBeNull();
    expect(await sql(database.url, query)).toEqual(before);
    expect((await undo(database.url)).error).toBeNull();
    expect(await sql(database.url, `select count(*)::int as n from pg_attribute where attrelid = 'va'::regclass`)).toEqual([{ n: 1 }]);
    expect(await sql(database.url, query)).toEqual(before);
  });

  it('takes a function that comes back at the word of its older content', async () => {
    const two = (more: string, columns: string) => ({
      'v/1.sql': again(`create or replace view va as select ${columns} from t`),
      'v/2.sql': again(`create or replace function vf() returns setof va language sql ${more} as 'select * from va'`),
    });
    await deployWays(database.url, two('stable', 'id'));
    expect((await deployWays(database.url, two('volatile security definer', 'id, a'))).error).toBeNull();
    expect((await undo(database.url)).error).toBeNull();
    expect(await sql(database.url, `select prosecdef, provolatile from pg_proc where proname = 'vf'`)).toEqual([{ prosecdef: false, provolatile: 's' }]);
  });
});

describe('what the objects had is known to the next deployment', () => {
  const phases = (more: Readonly<Record<string, Way>>): PhaseOfWays[] => [
    { name: 'one', transaction: 'per-step', ways: { 's/1.sql': { run: 'select 1' }, ...more } },
    {
      name: 'two',
      transaction: 'per-step',
      ways: {
        'v/1.sql': again('create or replace view va as select id from t'),
        'v/2.sql': again('create or replace view vb as select id from va; create or replace function vf() returns int language sql as $$ select 1 $$'),
      },
    },
  ];
  const query = `select relacl::text, obj_description(oid, 'pg_class'), (select prosecdef from pg_proc where proname = 'vf') as is_definer from pg_class where relname = 'vb'`;
  const dropped = { 's/2.sql': { run: 'drop view va cascade; alter function vf() security definer' } };

  it.each([1, 2])('where %i deployments before it have dropped them and failed', async (times) => {
    expect((await deployWays(database.url, phases({}))).error).toBeNull();
    await sql(database.url, `grant select on vb to public; comment on view vb is 'hi'; alter function vf() security definer`);
    const before = await sql(database.url, query);
    for (let time = 0; time < times; time++)
      expect(await deployWays(database.url, phases({ ...dropped, 's/3.sql': { run: 'select 1/0' } }))).toMatchObject({ state: 'failed' });
    expect(await sql(database.url, query), 'they are gone').toEqual([]);
    expect((await deployWays(database.url, phases({ ...dropped, 's/3.sql': { run: 'select 1' } }))).error).toBeNull();
    expect(await sql(database.url, query)).toEqual(before);
    expect(await sql(database.url, 'select from weft._steps where had is not null'), 'and then to nobody any more').toEqual([]);
  });

  it('but not what they had before one that succeeded', async () => {
    await deployWays(database.url, phases({}));
    await sql(database.url, 'grant select on vb to public');
    await deployWays(database.url, phases({ 's/3.sql': { run: 'select 1/0' } }));
    await deployWays(database.url, phases({ 's/3.sql': { run: 'select 1' } }));
    await sql(database.url, 'drop view vb');
    expect((await deployWays(database.url, phases({ 's/3.sql': { run: 'select 1' } }))).error).toBeNull();
    expect(await sql(database.url, query)).toMatchObject([{ relacl: null }]);
  });
});
