/**
 * Going back over files that run again and again: their group is made again as it was before. What depends on something that has to go
 * falls, and is called back; what cannot be replaced is dropped and made again; and the catalog is compared with what it was.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PhaseStatus } from '../../src/domain/deployment.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { deployWays, openUndo, type PhaseOfWays, pathsIn, undo, type Way, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (n int)');
});

afterEach(() => database.drop());

type Rule = 'single' | 'per-step' | 'auto';
const again = (run: string, undoing?: string): Way => ({ run, repeat: 'on-change', ...(undoing === undefined ? {} : { undo: undoing }) });
const fingerprint = async () => (await sql(database.url, 'select weft.fingerprint() as print'))[0].print;
const is = async (name: string) => (await sql(database.url, 'select to_regclass($1) is not null as there', [name]))[0].there;
const definition = async (name: string) => (await sql(database.url, 'select pg_get_viewdef($1::regclass) as text', [name]))[0].text.replace(/\s+/g, ' ').trim();
const events = async (deployment: string, kind: string) =>
  (await sql(database.url, 'select path, data from weft.events where deployment_id = $1 and kind = $2 order by number', [deployment, kind])) as {
    path: string;
    data: Record<string, unknown>;
  }[];

async function deployed(what: Ways | readonly PhaseOfWays[], rule: Rule = 'single') {
  const end = await deployWays(database.url, what, rule);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end;
}

/** Deploys the one, then the other, and takes that back: the catalog is as it was behind the first. */
async function thereAndBack(one: Ways | readonly PhaseOfWays[], other: Ways | readonly PhaseOfWays[], rule: Rule = 'single') {
  await deployed(one, rule);
  const before = await fingerprint();
  await deployed(other, rule);
  expect(await fingerprint()).not.toBe(before);
  const back = await undo(database.url);
  expect(back.state, JSON.stringify(back.error)).toBe('succeeded');
  expect((await sql(database.url, 'select change, kind, identity from weft.changes($1)', [back.id])).length).toBeGreaterThan(0);
  expect(back.compared).toMatchObject({ verdict: 'same', count: 0 });
  expect(await fingerprint()).toBe(before);
  return back;
}

describe.each(['single', 'per-step', 'auto'] as const)('transaction: %s', (rule) => {
  it('a view that has gained a column is dropped and made again, for it cannot be replaced', async () => {
    const back = await thereAndBack(
      { 'v.sql': again('create or replace view v as select 1 as a') },
      { 'v.sql': again('create or replace view v as select 1 as a, 2 as b') },
      rule,
    );
    expect(await events(back.id, 'room_made')).toMatchObject([{ path: 'v.sql', data: { because: { sqlstate: '42P16' } } }]);
  });

  it('what came with an extension that the file makes, too, stays where it is', async () => {
    const file = (type: string) =>
      again(`create extension if not exists citext; drop function if exists f(); create function f() returns ${type} language sql as 'select 1::${type}'`);
    const back = await thereAndBack(
      { 'x.sql': again(`create extension if not exists citext; create or replace function f() returns int language sql as 'select 1'`) },
      { 'x.sql': file('text') },
      rule,
    );
    expect((await events(back.id, 'room_made'))[0]?.data.drops).toEqual(['drop routine public.f()']);
  });

  it('what depends on it and has not changed falls with it, and is called back', async () => {
    const w = again('create or replace view w as select a from v');
    const back = await thereAndBack(
      { 'v.sql': again('create or replace view v as select 1 as a'), 'w.sql': w },
      { 'v.sql': again('create or replace view v as select 1 as a, 2 as b'), 'w.sql': w },
      rule,
    );
    expect((await events(back.id, 'called_back')).map(({ path }) => path)).toEqual(['w.sql']);
  });

  it('files that begin with drop … cascade take nothing along for good', async () => {
    const chain = (n: number) => ({
      'a.sql': again(`drop view if exists a cascade; create view a as select ${n} as n${n}, 0 as z`),
      'b.sql': again('drop view if exists b cascade; create view b as select z from a'),
      'c.sql': again('create or replace view c as select z from b'),
      'd.sql': again(`create or replace view d as select z, ${n} as m from c`),
    });
    await thereAndBack(chain(1), chain(2), rule);
  });

  it('functions whose result has another type are dropped and made again, with what uses them', async () => {
    const files = (type: string): Ways => ({
      'f.sql': again(`create or replace function f() returns ${type} language sql as $$ select 1::${type} $$`),
      'g.sql': again('create or replace view g as select f() as n'),
    });
    await deployed(files('int'), rule);
    const before = await fingerprint();
    await deployed(
      { ...files('int'), 'f.sql': again('drop function f() cascade; create function f() returns bigint language sql as $$ select 1::bigint $$') },
      rule,
    );
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    expect(await fingerprint()).toBe(before);
  });

  it('what only the newer content has made stays, and is named with what would drop it', async () => {
    await deployed({ 'f.sql': again('create or replace function f() returns int language sql as $$ select 1 $$') }, rule);
    await deployed(
      {
        'f.sql': again(
          'create or replace function f() returns int language sql as $$ select 2 $$; create or replace function extra(n int) returns int language sql as $$ select f() $$',
        ),
      },
      rule,
    );
    expect(await undo(database.url)).toMatchObject({
      state: 'succeeded',
      compared: { verdict: 'differs', count: 1, objects: [{ change: 'added', kind: 'function', drop: 'drop function public.extra(n integer)' }] },
    });
  });

  it('a file that was new goes by its undo, in whatever order what depends on it lets it go', async () => {
    const back = await thereAndBack(
      { 'v.sql': again('create or replace view v as select 1 as a') },
      {
        'f.sql': again('create or replace function f() returns int language sql as $$ select 1 $$', 'drop function f()'),
        'v.sql': again('create or replace view v as select f() as a'),
        'w.sql': again('create or replace view w as select a from v', 'drop view w'),
      },
      rule,
    );
    expect(back.phases.flatMap(({ steps }: { steps: { path: string }[] }) => steps.map(({ path }) => path)).sort()).toEqual([
      'undo/f.sql',
      'undo/w.sql',
      'v.sql',
    ]);
    expect(await pathsIn(database.url)).toEqual(['v.sql']);
  });

  it('what needs a table as it was before waits until that is undone', async () => {
    const t: Way = { run: 'create table t (old int); insert into t values (7)' };
    const back = await thereAndBack(
      { '1.sql': t, 'v.sql': again('create or replace view v as select old as n from t') },
      {
        '1.sql': t,
        '2.sql': { run: 'alter table t rename column old to new', undo: 'alter table t rename column new to old' },
        'v.sql': again('create or replace view v as select new as n from t'),
      },
      rule,
    );
    expect(await events(back.id, 'put_off')).toMatchObject([{ path: 'v.sql', data: { because: { sqlstate: '42703' } } }]);
    expect(await sql(database.url, 'select n from v')).toEqual([{ n: 7 }]);
  });

  it('what an undo file drops with cascade is called back behind it', async () => {
    const t: Way = { run: 'create table t (a int)' };
    const v = again('create or replace view v as select a from t');
    await thereAndBack(
      { '1.sql': t, 'v.sql': v },
      {
        '1.sql': t,
        '2.sql': {
          run: 'alter table t add b int; drop view v; alter table t alter a type bigint',
          undo: 'alter table t drop b; drop view v cascade; alter table t alter a type int',
        },
        'v.sql': v,
      },
      rule,
    );
  });

  it('what somebody had dropped comes back in its place, and once more behind an undo file that drops what it needs', async () => {
    const files = (n: number): Ways => ({
      'v/1.sql': again('create or replace view a as select 1 as n'),
      'v/2.sql': again('create or replace view b as select n from a'),
      'v/3.sql': again(`create or replace view c as select ${n} as n`),
    });
    await deployed(files(1), rule);
    await deployed({ 's/1.sql': { run: 'select 1', undo: 'drop view a cascade' }, ...files(2) }, rule);
    await sql(database.url, 'drop view b');
    expect(await undo(database.url, 'p_rehearse => true')).toMatchObject({ state: 'succeeded' });
    const back = await undo(database.url);
    expect(back.state, JSON.stringify(back.error)).toBe('succeeded');
    expect([await is('a'), await is('b'), await definition('c')]).toEqual([true, true, 'SELECT 1 AS n;']);
  });

  it('rights on what had to be dropped are given back', async () => {
    await deployed({ 'v.sql': again('create or replace view v as select 1 as a'), 'w.sql': again('create or replace view w as select a from v') }, rule);
    await sql(database.url, 'grant select on v, w to public');
    const before = await fingerprint();
    await deployed(
      { 'v.sql': again('create or replace view v as select 1 as a, 2 as b'), 'w.sql': again('create or replace view w as select a from v') },
      rule,
    );
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    expect(await fingerprint()).toBe(before);
  });
});

describe('over several phases', () => {
  const schema = (ways: Ways): PhaseOfWays => ({ name: 'schema', transaction: 'single', ways });
  const code = (ways: Ways): PhaseOfWays => ({ name: 'code', transaction: 'per-step', ways });
  const t: Way = { run: 'create table t (a int, z int)' };

  it('rights that a file gives with every deployment hold for what the undo makes again, also where that file stands in a phase behind', async () => {
    const code = (n: number) =>
      ({ name: 'code', transaction: 'single', ways: { 'v.sql': again(`drop view if exists v; create view v as select ${n} as a`) } }) as const;
    const rights = { name: 'rights', transaction: 'per-step', ways: { 'rights.sql': { run: 'grant select on v to public', repeat: 'always' } } } as const;
    const back = await thereAndBack([code(1), rights], [code(2), rights]);
    expect(back.phases.map(({ name, steps }: PhaseStatus) => [name, steps.map(({ path, state }) => `${path} ${state}`)])).toEqual([
      ['code', ['v.sql succeeded']],
      ['rights (again)', ['rights.sql succeeded']],
    ]);
  });

  it('so they do for a view that somebody had dropped, where nothing but that file had run', async () => {
    const phases: PhaseOfWays[] = [
      { name: 'code', transaction: 'single', ways: { 'v.sql': again('create view v as select 1 as a') } },
      { name: 'rights', transaction: 'per-step', ways: { 'rights.sql': { run: 'grant select on v to public', repeat: 'always' } } },
    ];
    await deployed(phases);
    await deployed(phases);
    await sql(database.url, 'drop view v');
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, "select has_table_privilege('public', 'v', 'select') as may")).toEqual([{ may: true }]);
  });

  it('what an undo takes along of a phase without transactions, in which nobody is called back, the next deployment makes again', async () => {
    const phases = (n: number): PhaseOfWays[] => [
      { name: 'code', transaction: 'single', ways: { 'v.sql': again(`drop view if exists v cascade; create view v as select ${n} as a`) } },
      { name: 'apart', transaction: 'none', ways: { 'm.sql': again('drop materialized view if exists m; create materialized view m as select a from v') } },
    ];
    await deployed(phases(1));
    await deployed(phases(2));
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { objects: [{ change: 'missing', identity: 'public.m' }] } });
    await deployed(phases(1));
    expect(await is('m')).toBe(true);
  });

  it('views go back before the column that they have gained is dropped', async () => {
    const back = await thereAndBack(
      [schema({ '1.sql': t }), code({ 'v.sql': again('create or replace view v as select a from t') })],
      [
        schema({ '1.sql': t, '2.sql': { run: 'alter table t add b int', undo: 'alter table t drop b' } }),
        code({ 'v.sql': again('create or replace view v as select a, b from t') }),
      ],
    );
    expect(back.phases.map(({ name }: { name: string }) => name)).toEqual(['code', 'schema', 'code (again)']);
  });

  it('views that need what was dropped wait for it, and what they stand in the way of is let through', async () => {
    await thereAndBack(
      [schema({ '1.sql': t }), code({ 'v.sql': again('create or replace view v as select z as n from t') })],
      [
        schema({
          '1.sql': t,
          '2.sql': { run: 'alter table t add y int; alter table t drop z cascade', undo: 'alter table t add z int; alter table t drop y' },
        }),
        code({ 'v.sql': again('create or replace view v as select y as n from t') }),
      ],
    );
  });

  it('views of a phase in which nothing has changed are called back when an undo file takes them along', async () => {
    const views = code({ 'v.sql': again('create or replace view v as select a from t') });
    const back = await thereAndBack(
      [schema({ '1.sql': t }), views],
      [
        schema({
          '1.sql': t,
          '2.sql': {
            run: 'drop view v; alter table t alter a type bigint',
            undo: 'alter table t drop a cascade; alter table t drop z; alter table t add a int; alter table t add z int',
          },
        }),
        views,
      ],
    );
    expect((await events(back.id, 'called_back')).map(({ path }) => path)).toEqual(['v.sql']);
  });
});

describe('before anything runs', () => {
  it('says which repeatable files have neither a version before nor an undo', async () => {
    await deployed({ 'v.sql': again('create or replace view v as select 1 as a') });
    await deployed({ 'v.sql': again('create or replace view v as select 2 as a'), 'new.sql': again('create or replace view n as select 1 as a') });
    await expect(openUndo(database.url)).rejects.toMatchObject({ code: 'WF072', message: expect.stringContaining('new.sql') });
    expect(await definition('v')).toBe('SELECT 2 AS a;');
    const back = await undo(database.url, 'p_partly => true');
    expect(back).toMatchObject({ state: 'succeeded', compared: { verdict: 'differs', count: 1, objects: [{ change: 'added', kind: 'view' }] } });
    expect(await is('n')).toBe(true);
  });
});

describe('an undo that cannot be', () => {
  it('because something outside of the bundle depends on a view leaves everything as it was, and says what that is', async () => {
    await deployed({ 'v.sql': again('create or replace view v as select 1 as a') });
    await deployed({ 'v.sql': again('create or replace view v as select 1 as a, 2 as b') });
    await sql(database.url, 'create view report as select b from v');
    const before = await fingerprint();
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'failed', error: { sqlstate: '2BP01', path: 'v.sql' } });
    expect(JSON.stringify(back.error)).toMatch(/view (public\.)?report depends on view (public\.)?v/);
    expect(await fingerprint()).toBe(before);
    expect(await definition('v')).toContain('2 AS b');
    await sql(database.url, 'drop view report');
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
  });
});

describe('the catalog behind an undo', () => {
  it('is compared with what it was before, and what differs is named', async () => {
    const ways: Ways = { '1.sql': { run: 'create table a (n int); create table b (n int)', undo: 'drop table a' } };
    await deployed(ways);
    const back = await undo(database.url);
    expect(back.compared).toMatchObject({
      verdict: 'differs',
      count: 1,
      objects: [{ change: 'added', kind: 'table', identity: expect.stringContaining('b') }],
    });
    expect(await events(back.id, 'not_as_before')).toHaveLength(1);
  });

  it('what others have changed since is not taken for a difference', async () => {
    await deployed({ '1.sql': { run: 'create table a (n int)', undo: 'drop table a' } });
    await sql(database.url, 'create table others (n int)');
    expect((await undo(database.url)).compared).toMatchObject({ verdict: 'same', count: 0 });
  });
});
