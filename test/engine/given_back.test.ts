/**
 * What a file that is called back makes again has what others gave to it: rights, comments, options, indexes, triggers. Weft made it again, so
 * nothing of it may be lost without a word.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { type Rule, send } from './support.ts';
import { deployWays, type PhaseOfWays, packWays, type Way, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table t (id int primary key, who text)');
});

afterEach(() => database.drop());

const again = (run: string): Way => ({ run, repeat: 'on-change' });
const FILES: Readonly<Record<string, Way>> = {
  'v/a.sql': { run: 'drop view if exists va cascade; create view va as select id from t', repeat: 'on-change' },
  'v/b.sql': { run: 'create or replace view vb as select id from va', repeat: 'on-change' },
};
const WIDER: Way = { run: 'drop view if exists va cascade; create view va as select id, who from t', repeat: 'on-change' };
const MORE = [
  `grant select on vb to public; grant update (id) on vb to public; comment on view vb is 'of a migration'; comment on column vb.id is 'the key'`,
  'alter view vb set (security_barrier); create function no_op() returns trigger language plpgsql as $$begin return new; end$$',
  'create trigger tr instead of update on vb for each row execute function no_op()',
].join(';');
const whole = async () => {
  const [{ print }] = await sql(database.url, 'select fingerprint as print from weft._keep_snapshot()');
  const [{ objects }] = await sql(database.url, `select string_to_array(catalog, e'\\x1e') as objects from weft._snapshots where fingerprint = $1`, [print]);
  const ours = objects.filter((object: string) => object.includes('vb'));
  expect(ours).not.toEqual([]);
  return ours;
};

describe.each(['single', 'per-step'] as const)('a view that went with another one, under transaction: %s', (rule: Rule) => {
  it('comes back with the rights, comments, options and triggers that a migration gave it', async () => {
    expect(await deployWays(database.url, { ...FILES, 'w.sql': { run: MORE } }, rule)).toMatchObject({ state: 'succeeded' });
    const before = await whole();
    expect(await deployWays(database.url, { ...FILES, 'v/a.sql': WIDER, 'w.sql': { run: MORE } }, rule)).toMatchObject({ state: 'succeeded' });
    expect(await whole()).toEqual(before);
    expect(before.join()).toContain('security_barrier');
    expect(before.join()).toContain('of a migration');
  });

  it('comes back so also where a phase before has dropped it', async () => {
    const phases = (more: Readonly<Record<string, Way>>): PhaseOfWays[] => [
      { name: 'schema', transaction: rule, ways: { '0.sql': { run: 'select 1' }, ...more } },
      { name: 'code', transaction: rule, ways: FILES },
    ];
    expect(await deployWays(database.url, phases({}))).toMatchObject({ state: 'succeeded' });
    await sql(database.url, MORE);
    expect(await deployWays(database.url, phases({ '1.sql': { run: 'select 2' } }))).toMatchObject({ state: 'succeeded' });
    const before = await whole();
    const grown = phases({
      '1.sql': { run: 'select 2' },
      '2.sql': { run: 'drop view va cascade; alter table t alter id type bigint; alter table t alter id type int' },
    });
    expect(await deployWays(database.url, grown)).toMatchObject({ state: 'succeeded' });
    expect(await whole()).toEqual(before);
  });

  it('comes back so in a rehearsal, and what cannot be given back fails that too', async () => {
    const phases = (more: Readonly<Record<string, Way>>): PhaseOfWays[] => [
      { name: 'schema', transaction: rule, ways: { '0.sql': { run: 'select 1' }, ...more } },
      { name: 'code', transaction: rule, ways: FILES },
    ];
    await deployWays(database.url, phases({}));
    await sql(database.url, MORE);
    const grown = phases({ '1.sql': { run: 'drop view va cascade; create view other as select 1 as n' } });
    const rehearsal = await send(database.url, packWays(grown, { mode: 'rehearse' }));
    expect(rehearsal).toMatchObject({ state: 'succeeded', rehearsal: { catalog: [{ kind: 'view', identity: 'public.other', change: 'added' }] } });
    await sql(database.url, 'create rule r as on delete to vb do instead nothing');
    expect(await send(database.url, packWays(grown, { mode: 'rehearse' }))).toMatchObject({ state: 'failed', error: { sqlstate: 'WF073', path: 'v/b.sql' } });
    expect(await deployWays(database.url, grown)).toMatchObject({ state: 'failed', error: { sqlstate: 'WF073', path: 'v/b.sql' } });
  });

  it('what cannot be given back fails it, and is named', async () => {
    await deployWays(database.url, FILES, rule);
    await sql(database.url, 'create rule r as on delete to vb do instead nothing');
    const end = await deployWays(database.url, { ...FILES, 'v/a.sql': WIDER }, rule);
    expect(end).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF073', path: 'v/b.sql', message: expect.stringMatching(/public\.vb .* would lose: rule r on view public\.vb/) },
    });
    expect(await sql(database.url, "select rulename from pg_rules where tablename = 'vb'")).toEqual([{ rulename: 'r' }]);
  });
});

it('an aggregate that went with its function comes back with the rights and the comment that a migration gave it', async () => {
  const files = (body: string): Readonly<Record<string, Way>> => ({
    'v/a.sql': {
      run: `drop function if exists add(int, int) cascade; create function add(int, int) returns int language sql immutable as $$ select ${body} $$`,
      repeat: 'on-change',
    },
    'v/b.sql': { run: 'drop aggregate if exists total(int); create aggregate total(int) (sfunc = add, stype = int)', repeat: 'on-change' },
    'w.sql': { run: `revoke execute on function total(int) from public; comment on aggregate total(int) is 'of a migration'` },
  });
  const had = () => sql(database.url, `select proacl::text as acl, obj_description(oid, 'pg_proc') as said from pg_proc where proname = 'total'`);
  expect(await deployWays(database.url, files('coalesce($1, 0) + $2'))).toMatchObject({ state: 'succeeded' });
  const before = await had();
  expect(before).toMatchObject([{ acl: expect.not.stringContaining('{=X'), said: 'of a migration' }]);
  expect(await deployWays(database.url, files('coalesce($1, 0) + coalesce($2, 0)'))).toMatchObject({ state: 'succeeded' });
  expect(await had()).toEqual(before);
});

it.runIf(offers('a superuser'))('a foreign table that went with its server comes back with them too', async () => {
  const [{ owner }] = await sql(database.url, 'select quote_ident(current_user) as owner');
  await sql(database.superuserUrl as string, `create foreign data wrapper w; grant usage on foreign data wrapper w to ${owner}`);
  const files = (version: string): Readonly<Record<string, Way>> => ({
    'v/a.sql': { run: `drop server if exists far cascade; create server far version '${version}' foreign data wrapper w`, repeat: 'on-change' },
    'v/b.sql': { run: 'drop foreign table if exists ft; create foreign table ft (a int, b text) server far', repeat: 'on-change' },
    'w.sql': { run: `grant select (a) on ft to public; comment on foreign table ft is 'of a migration'; comment on column ft.a is 'the key'` },
  });
  const had = () =>
    sql(
      database.url,
      `select attacl::text as acl, obj_description(attrelid, 'pg_class') as said, col_description(attrelid, 1) as key from pg_attribute where attrelid = 'ft'::regclass and attnum = 1`,
    );
  expect(await deployWays(database.url, files('1'))).toMatchObject({ state: 'succeeded' });
  const before = await had();
  expect(before).toMatchObject([{ said: 'of a migration', key: 'the key' }]);
  expect(await deployWays(database.url, files('2'))).toMatchObject({ state: 'succeeded' });
  expect(await had()).toEqual(before);
});

describe('a materialized view that went with another one', () => {
  it('comes back with the indexes that a migration gave it', async () => {
    const files = { ...FILES, 'v/b.sql': { run: 'create materialized view if not exists vb as select id from va', repeat: 'on-change' as const } };
    await deployWays(database.url, { ...files, 'w.sql': { run: 'create unique index vb_key on vb (id) where id > 0; grant select on vb to public' } });
    const before = await whole();
    expect(
      await deployWays(database.url, {
        ...files,
        'v/a.sql': WIDER,
        'w.sql': { run: 'create unique index vb_key on vb (id) where id > 0; grant select on vb to public' },
      }),
    ).toMatchObject({
      state: 'succeeded',
    });
    expect(await whole()).toEqual(before);
  });
});

describe('a function that went with another object', () => {
  it('has the rights that were taken from it', async () => {
    const files: Readonly<Record<string, Way>> = {
      'v/a.sql': FILES['v/a.sql'] as Way,
      'v/f.sql': { run: 'create or replace function vbf(va) returns int language sql as $$select 1$$', repeat: 'on-change' },
    };
    await deployWays(database.url, files);
    await sql(database.url, 'revoke execute on function vbf(va) from public');
    const before = await whole();
    expect(await deployWays(database.url, { ...files, 'v/a.sql': WIDER })).toMatchObject({ state: 'succeeded' });
    expect(await whole()).toEqual(before);
  });
});

describe('what a materialized view takes along that is made anew because its file has changed', () => {
  it('is made again: its indexes and views, by files in its phase and in one without transactions', async () => {
    const phases = (columns: string): PhaseOfWays[] => [
      {
        name: 'code',
        transaction: 'auto',
        ways: {
          'v/1.sql': { run: `drop materialized view if exists mv cascade; create materialized view mv as select ${columns} from t`, repeat: 'on-change' },
          'v/2.sql': { run: 'drop index if exists mv_two; create index mv_two on mv (id)', repeat: 'on-change' },
        },
      },
      {
        name: 'indexes',
        transaction: 'none',
        ways: {
          'n/1.sql': { run: 'drop index concurrently if exists mv_one; create unique index concurrently mv_one on mv (id)', repeat: 'on-change' },
          'n/2.sql': { run: 'create or replace view vb as select id from mv', repeat: 'on-change' },
        },
      },
    ];
    const there = async () =>
      (await sql(database.url, `select relname from pg_class where relname ~ '^mv_|^vb$' order by relname`)).map(({ relname }) => relname);
    expect(await deployWays(database.url, phases('id'))).toMatchObject({ state: 'succeeded' });
    await sql(database.url, 'grant select on vb to public');
    const before = await whole();
    expect(await deployWays(database.url, phases('id, who'))).toMatchObject({ state: 'succeeded' });
    expect(await there()).toEqual(['mv_one', 'mv_two', 'vb']);
    expect(await whole()).toEqual(before);
    const again = await deployWays(database.url, phases('id, who'));
    expect(again.phases.flatMap(({ steps }) => steps.map(({ state }) => state))).toEqual(['skipped', 'skipped', 'skipped', 'skipped']);
  });
});

it('a view with the rights of anything new comes back with those, whatever anything new is given by now', async () => {
  expect(await deployWays(database.url, FILES)).toMatchObject({ state: 'succeeded' });
  const granted: Way = { run: 'alter default privileges grant select on tables to public' };
  expect(await deployWays(database.url, { '0.sql': granted, ...FILES, 'v/a.sql': WIDER })).toMatchObject({ state: 'succeeded' });
  expect(
    await sql(database.url, `select relname, has_table_privilege('public', oid, 'select') as is_open from pg_class where relname in ('va', 'vb') order by 1`),
  ).toEqual([
    { relname: 'va', is_open: true },
    { relname: 'vb', is_open: false },
  ]);
});

describe('what a step of the same deployment has given to a view comes back with it, where another one drops it', () => {
  const view = { 'v/a.sql': again('create or replace view va as select id from t'), 'v/b.sql': again('create or replace view vb as select id from va') };
  const phase = (transaction: Rule, ways: Ways): PhaseOfWays => ({ name: 'p', transaction, ways });
  const rights = async () => (await sql(database.url, `select relacl::text as rights, obj_description(oid) as comment from pg_class where relname = 'vb'`))[0];

  it.each(['single', 'per-step', 'auto', 'none'] as const)('in a phase that is %s', async (transaction) => {
    await deployWays(database.url, [phase(transaction, { 's/1.sql': { run: 'select 1' }, ...view })]);
    const gives = { run: `grant select on vb to public; comment on view vb is 'new'` };
    const drops = { run: 'drop view va cascade; alter table t add z int' };
    const grown = [phase(transaction, { 's/1.sql': { run: 'select 1' }, 's/2.sql': gives, 's/3.sql': drops, ...view })];
    const { rehearsal } = await send(database.url, packWays(grown, { mode: 'rehearse' }));
    const end = await deployWays(database.url, grown);
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await rights()).toMatchObject({ rights: expect.stringContaining('=r/'), comment: 'new' });
    const changes = await sql(database.url, 'select kind, identity, change, before, after from weft.changes($1)', [end.id]);
    expect(rehearsal?.catalog, 'as a rehearsal said').toEqual(expect.arrayContaining(changes));
    expect(rehearsal?.catalog).toHaveLength(changes.length);
  });

  it('in several phases, the second of which drops it twice', async () => {
    const schema = (ways: Ways) => [phase('per-step', { 's/1.sql': { run: 'select 1' }, ...ways }), { ...phase('single', view), name: 'v' }];
    await deployWays(database.url, schema({}));
    const gives = { 's/2.sql': { run: `grant select on vb to public; comment on view vb is 'old'` }, 's/3.sql': { run: `comment on view vb is 'new'` } };
    const end = await deployWays(database.url, schema({ ...gives, 's/4.sql': { run: 'drop view vb' }, 's/5.sql': { run: 'drop view va cascade' } }));
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await rights()).toMatchObject({ rights: expect.stringContaining('=r/'), comment: 'new' });
  });
});

describe('what a file that runs again and again has given to a view comes back with it, where the next one drops it', () => {
  const given = `comment on view vb is 'new'; grant select on vb to public`;
  const gives = `drop view if exists own; create view own as select 2 as x; ${given}`;
  const drops: Ways = { 'a/2.sql': again('drop view if exists vb; create or replace view other as select 2 as x') };
  const first: Ways = { 'a/1.sql': again('create or replace view own as select 1 as x'), 'v/b.sql': again('create or replace view vb as select id from t') };
  const rights = async () => (await sql(database.url, `select relacl::text as rights, obj_description(oid) as comment from pg_class where relname = 'vb'`))[0];

  it.each<[string, Ways]>([
    ['again and again too', { 'a/1.sql': again(gives), ...drops }],
    ['once', { 'a/1.sql': again(gives), 'a/2.sql': { run: 'drop view vb' } }],
    ['behind one that only gives', { 'a/0.sql': again('drop view if exists nothing'), 'a/1.sql': again(given), ...drops }],
    ['behind one that may fail', { 'a/0.sql': again('drop view if exists nothing'), 'a/1b.sql': { run: gives, on_error: 'continue' }, ...drops }],
    ['where a function has given it', { 'a/1.sql': again('drop view if exists own; create view own as select 2 as x; select give()'), ...drops }],
    ['where it was made anew before', { 'a/1.sql': again(`drop view vb; create view vb as select id from t; ${given}`), ...drops }],
  ])('%s', async (_, ways) => {
    const body = `begin execute $x$comment on view vb is 'new'$x$; execute 'grant select on vb to public'; end`;
    await sql(database.url, `create function give() returns void language plpgsql as $$${body}$$`);
    await deployWays(database.url, first);
    const end = await deployWays(database.url, { ...ways, ...first, ...ways });
    expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
    expect(await rights()).toMatchObject({ rights: expect.stringContaining('=r/'), comment: 'new' });
  });
});

/** From now on, each question what an object of a file that does not run has counts. */
async function countNotes(): Promise<() => Promise<number>> {
  await sql(
    database.url,
    `create sequence weft.asked minvalue 0;
    alter function weft._note_had_of(jsonb, text[]) rename to _note_had_of_it;
    create function weft._note_had_of(p_object jsonb, p_remade text[]) returns jsonb stable language plpgsql
    as $$ begin perform nextval('weft.asked'); return weft._note_had_of_it(p_object, p_remade); end $$`,
  );
  return async () => {
    const [{ asked }] = await sql(database.url, `select nextval('weft.asked')::int as asked`);
    await sql(database.url, `alter sequence weft.asked restart`);
    return asked;
  };
}

it('what many views have that do not change is asked once of each, however many files there are', async () => {
  const views = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`v/${n}.sql`, again(`create or replace view v${n} as select id from t`)]));
  const tables = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`a/${n}.sql`, { run: `create table t${n} (id int)` }]));
  await deployWays(database.url, views);
  const notes = await countNotes();
  expect(await deployWays(database.url, { ...tables, ...views })).toMatchObject({ state: 'succeeded' });
  expect(await notes()).toBe(30);
});

it('it is not asked again before files that drop and give what is their own, and of what they have given something to, of that alone', async () => {
  const views = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`v/${n}.sql`, again(`create or replace view v${n} as select id from t`)]));
  const owns = (column: string, more: string) =>
    Object.fromEntries(
      Array.from({ length: 10 }, (_, n) => [
        `a/${n}.sql`,
        again(
          `drop view if exists a${n}; create view a${n} as select ${column} from t; comment on view a${n} is 'of a'; grant select on a${n} to public${more}`,
        ),
      ]),
    );
  await deployWays(database.url, { ...owns('id', ''), ...views });
  const notes = await countNotes();
  expect(await deployWays(database.url, { ...owns('who', ''), ...views })).toMatchObject({ state: 'succeeded' });
  expect(await notes()).toBe(30);
  expect(await deployWays(database.url, { ...owns('id', '; grant insert on v7 to public'), ...views })).toMatchObject({ state: 'succeeded' });
  expect(await notes()).toBe(30 + 9); // before each but the first
});
