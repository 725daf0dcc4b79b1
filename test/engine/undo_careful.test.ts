/**
 * What an undo of files that run again and again never does: drop what others made, drop what nobody makes again, lose what hangs on what it
 * drops, or change rights. Where one of those would have to be, it fails, and everything is as it was.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { deployWays, openUndo, type PhaseOfWays, pathsIn, undo, type Way, type Ways } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

// biome-ignore lint/suspicious/noExplicitAny: rows of whatever is asked
const ask = (text: string): Promise<any[]> => sql(database.url, text);
const again = (run: string, undoing?: string): Way => ({ run, repeat: 'on-change', ...(undoing === undefined ? {} : { undo: undoing }) });
const v1 = again('create or replace view v as select 1 as a');
const v2 = again('create or replace view v as select 1 as a, 2 as b');
const is = async (name: string): Promise<boolean> => (await ask(`select to_regclass('${name}') is not null as there`))[0].there;
const fingerprint = async (): Promise<string> => (await ask('select weft.fingerprint() as print'))[0].print;
const events = async (deployment: string): Promise<string[]> =>
  (await ask(`select kind from weft.events where deployment_id = '${deployment}' order by number`)).map(({ kind }) => kind);

async function deployed(what: Ways | readonly PhaseOfWays[]): Promise<void> {
  const end = await deployWays(database.url, what);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
}

/** Goes back in vain: it says what would be lost, and nothing has happened. */
async function refused(what: RegExp): Promise<void> {
  const before = await fingerprint();
  const back = await undo(database.url);
  expect(back).toMatchObject({ state: 'failed', error: { path: 'v.sql', hint: expect.stringContaining('Drop it yourself') } });
  expect(`${back.error.message} ${back.error.detail}`).toMatch(what);
  expect(await fingerprint()).toBe(before);
}

describe('what only the newer content has made, or others while it ran', () => {
  it('stays, and is named with the statement that would drop it', async () => {
    await deployed({ 'f.sql': again('create or replace function f() returns int language sql as $$ select 1 $$') });
    // as what another session commits while the file runs: the mark tells numbers, not sessions
    await deployed({
      'f.sql': again(`create or replace function f() returns int language sql as $$ select 2 $$;
        create table secrets (owner text); alter table secrets enable row level security;
        create policy own on secrets using (owner = current_user);
        create function tf() returns trigger language plpgsql as $$ begin return new; end $$;
        create trigger tr before insert on secrets for each row execute function tf();
        create view theirs as select 1 as x`),
    });
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'succeeded', compared: { verdict: 'differs' } });
    const added = back.compared.objects.filter(({ change }: { change: string }) => change === 'added');
    const drops = added.map(({ drop }: { drop?: string }) => drop).filter((drop?: string) => drop !== undefined);
    expect(drops.sort()).toEqual([
      'drop function public.tf()',
      'drop policy own on public.secrets',
      'drop trigger tr on public.secrets',
      'drop view public.theirs',
    ]);
    expect(await is('theirs')).toBe(true);
    expect(await ask('select count(*)::int as n from pg_policy')).toEqual([{ n: 1 }]);
    for (const drop of ['drop trigger tr on public.secrets', ...drops.filter((drop: string) => !drop.startsWith('drop trigger'))]) await ask(drop);
  });

  it('is not dropped where it was there by hand before', async () => {
    await ask('create view byhand as select 1 as a');
    await deployed({ 'f.sql': again('create or replace function f() returns int language sql as $$ select 1 $$') });
    await deployed({
      'f.sql': again(
        'create or replace function f() returns int language sql as $$ select 2 $$; drop view byhand; create view byhand as select 1 as a, 2 as b',
      ),
    });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'differs', count: 1 } });
    expect(await is('byhand')).toBe(true);
  });

  it('is not dropped to make room for the older content: the undo fails', async () => {
    await deployed({ 'v.sql': v1 });
    await deployed({ 'v.sql': again('create or replace view v as select 1 as a, 2 as b; create view extra as select b from v') });
    const before = await fingerprint();
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'failed', error: { path: 'v.sql' } });
    expect(JSON.stringify(back.error)).toContain('extra depends on view');
    expect(await fingerprint()).toBe(before);
  });

  it('and is taken for the older content’s is not lost with it: the undo fails', async () => {
    const d: Way = { run: 'select 1', undo: 'select 1' };
    await deployed({ 'v.sql': v1 });
    await ask('create view theirs as select a from v');
    await ask(`update weft._history set made = made || '[{"kind": "relation", "name": "public.theirs"}]'`);
    await deployed({ 'v.sql': v2, 'z.sql': d }); // behind which the file stands by once more
    await refused(/public\.theirs.*would lose: it itself/);
  });

  it('a trigger on a partitioned table, whose partitions have it too, is in nobody’s way', async () => {
    const p: Way = { run: 'create table p (a int) partition by range (a); create table p1 partition of p for values from (0) to (9)' };
    const f = 'create or replace function f() returns trigger language plpgsql as $$ begin return new; end $$';
    await deployed({ '1.sql': p, 'f.sql': again(f) });
    await deployed({ '1.sql': p, 'f.sql': again(`${f}; create trigger tr before insert on p for each row execute function f()`) });
    expect(await ask(`select made @> '[{"kind": "trigger", "on": "public.p1"}]' as clones from weft._history where path = 'f.sql'`)).toEqual([
      { clones: false },
    ]);
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'succeeded' });
    expect(await ask(`select count(*)::int as n from pg_trigger where tgname = 'tr'`)).toEqual([{ n: 2 }]);
    // of a partition nobody can drop it
    expect(back.compared.objects.flatMap(({ drop }: { drop?: string }) => drop ?? [])).toEqual(['drop trigger tr on public.p']);
  });
});

describe('what depends on a view that has to be dropped', () => {
  const w = again('create or replace view w as select a from v');

  it('and was made by a file that is not in the bundle any more keeps it from being dropped', async () => {
    await deployed({ 'v.sql': v1, 'w.sql': w });
    await deployed({ 'v.sql': v2 });
    const before = await fingerprint();
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'failed', error: { path: 'v.sql' } });
    expect(JSON.stringify(back.error)).toContain('w depends on view');
    expect(back.error.hint).not.toContain('CASCADE');
    expect(await fingerprint()).toBe(before);
    expect(await pathsIn(database.url)).toEqual(['v.sql', 'w.sql']);
  });
});

describe('what hangs on a view that has to be dropped', () => {
  it.each([
    [
      'a trigger of a one-time file',
      `create function tf() returns trigger language plpgsql as $$ begin return new; end $$; create trigger tr instead of insert on v for each row execute function tf()`,
      /trigger tr on view public\.v/,
    ],
    ['a comment', `comment on view v is 'kept'`, /comment on view public\.v/],
    ['a comment on a column that stays', `comment on column v.a is 'kept'`, /comment on column a of view public\.v/],
    ['a rule', 'create rule r as on insert to v do instead nothing', /rule r on view public\.v/],
    ['a default of a column', 'alter view v alter column a set default 7', /default value for column a of view public\.v/],
    ['an option', 'alter view v set (security_barrier = true)', /option security_barrier=true/],
  ])('%s is not lost: the undo fails, and names it', async (_what, statement, named) => {
    await deployed({ 'v.sql': v1 });
    await deployed({ 'v.sql': v2 });
    await ask(statement);
    await refused(named);
  });

  it('what its file makes again too is no loss', async () => {
    await deployed({ 'v.sql': again(`${v1.run}; comment on view v is 'one'`) });
    const before = await fingerprint();
    await deployed({ 'v.sql': again(`${v2.run}; comment on view v is 'two'; comment on column v.b is 'goes'`) });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    expect(await fingerprint()).toBe(before);
  });

  it('an index keeps a materialized view from being dropped', async () => {
    const m = again('create materialized view if not exists m as select a from v');
    await deployed({ 'v.sql': v1, 'm.sql': m });
    await ask('create unique index on m (a)');
    await deployed({ 'v.sql': v2, 'm.sql': m });
    const before = await fingerprint();
    expect(await undo(database.url)).toMatchObject({ state: 'failed', error: { path: 'v.sql' } });
    expect(await fingerprint()).toBe(before);
  });
});

describe('the owner', () => {
  it('of what has to be dropped is who makes it again, or nothing is dropped', async () => {
    await ask('do $$ begin create role weft_careful_low; exception when duplicate_object then null; end $$');
    await ask('grant weft_careful_low to current_user; grant usage, create on schema public to weft_careful_low');
    const g = (type: string): Way => again(`create function g() returns ${type} security definer language sql as $$ select 1::${type} $$`);
    await deployed({ 'v.sql': g('int') });
    await deployed({ 'v.sql': again(`drop function g(); ${g('bigint').run}`) });
    await ask('alter function g() owner to weft_careful_low');
    await refused(/owner.*belongs to weft_careful_low/);
    expect(await ask(`select proowner::regrole::text as owner, prorettype::regtype::text as type from pg_proc where proname = 'g'`)).toEqual([
      { owner: 'weft_careful_low', type: 'bigint' },
    ]);
    await ask('drop owned by weft_careful_low');
  });
});

describe('rights', () => {
  const can = async (what = 'v'): Promise<boolean> => (await ask(`select has_table_privilege('weft_careful_app', '${what}', 'select') as can`))[0].can;

  beforeEach(async () => {
    await ask('do $$ begin create role weft_careful_app; exception when duplicate_object then null; end $$; grant weft_careful_app to current_user');
  });
  afterEach(async () => {
    await ask('drop owned by weft_careful_app');
  });

  it('that default privileges would give, and that were taken away, do not come back', async () => {
    await ask('alter default privileges grant select on tables to weft_careful_app');
    await deployed({ 'v.sql': v1 });
    await ask('revoke all on v from weft_careful_app');
    const before = await fingerprint();
    await deployed({ 'v.sql': v2 });
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
    expect(await can()).toBe(false);
    expect(await fingerprint()).toBe(before);
  });

  it('are exactly those that were there: of columns, with grant option, without those of the owner', async () => {
    await deployed({ 'v.sql': v1 });
    await deployed({ 'v.sql': v2 });
    await ask(
      'grant select (a), update (a) on v to weft_careful_app; grant insert on v to weft_careful_app with grant option; revoke delete on v from current_user',
    );
    const rights = () =>
      ask(`select array(select x::text from unnest(c.relacl) as x order by 1) as acl,
        (select array_agg(a.attacl::text) from pg_attribute as a where a.attrelid = c.oid and a.attname = 'a') as columns from pg_class as c where relname = 'v'`);
    const before = await rights();
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await rights()).toEqual(before);
  });

  it('that an undo file takes away are not given again', async () => {
    const phases = (v: Way, more: readonly PhaseOfWays[] = []): readonly PhaseOfWays[] => [
      ...more,
      { name: 'views', transaction: 'single', ways: { 'v.sql': v } },
    ];
    await deployed(phases(v1));
    await deployed(
      phases(v2, [
        {
          name: 'grants',
          transaction: 'single',
          ways: { 'g.sql': { run: 'grant select on v to weft_careful_app', undo: 'revoke select on v from weft_careful_app' } },
        },
      ]),
    );
    expect(await can()).toBe(true);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await can()).toBe(false);
  });

  it('that an undo file takes away in the same transaction, behind the view, are not given again either', async () => {
    const g: Way = { run: 'grant select on v to weft_careful_app', undo: 'revoke select on v from weft_careful_app' };
    await deployed({ 'v.sql': v1 });
    await deployed({ 'g.sql': g, 'v.sql': v2 });
    await ask('grant update on v to weft_careful_app');
    expect(await can()).toBe(true);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await can()).toBe(false);
    expect(await ask(`select has_table_privilege('weft_careful_app', 'v', 'update') as can`)).toEqual([{ can: true }]);
  });

  it('other than those that its file grants cannot be told from what it takes away: the undo fails', async () => {
    await deployed({ 'v.sql': again(`${v1.run}; grant select on v to public`) });
    await deployed({ 'v.sql': again(`${v2.run}; grant select on v to public`) });
    await ask('grant update on v to weft_careful_app');
    await refused(/weft_careful_app: update/);
    await ask('revoke update on v from weft_careful_app');
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
  });

  it('that cannot be given back because the view comes later keep it from being dropped', async () => {
    const t: Way = { run: 'create table t (a int, z int)' };
    const phases = (column: string, more: Ways): readonly PhaseOfWays[] => [
      { name: 'schema', transaction: 'single', ways: { '1.sql': t, ...more } },
      { name: 'code', transaction: 'per-step', ways: { 'v.sql': again(`create or replace view v as select ${column} as n from t`) } },
    ];
    await deployed(phases('z', {}));
    await deployed(
      phases('y', { '2.sql': { run: 'alter table t add y int; alter table t drop z cascade', undo: 'alter table t add z int; alter table t drop y' } }),
    );
    await ask('grant select on v to weft_careful_app');
    const back = await undo(database.url);
    expect(back).toMatchObject({ state: 'failed', error: { path: 'undo/2.sql', sqlstate: 'WF073', message: expect.stringContaining('rights') } });
    expect(await can()).toBe(true);
    await ask('revoke select on v from weft_careful_app');
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
  });
});

describe('a lock that is not to be had', () => {
  it('is waited for within the budget of the phase, and the block tries again', async () => {
    const phase = (v: Way): readonly PhaseOfWays[] => [{ name: 'views', transaction: 'single', more: { lock_timeout_ms: 200 }, ways: { 'v.sql': v } }];
    await deployed(phase(v1));
    await deployed(phase(v2));
    const id = await openUndo(database.url);
    const other = await database.client();
    await other.query('begin');
    await other.query('select * from v');
    const run = ask(`call weft.run('${id}')`);
    for (;;) {
      if ((await events(id)).includes('lock_not_available')) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await other.query('rollback');
    await other.end();
    expect((await run)[0].result).toMatchObject({ state: 'succeeded', compared: { verdict: 'same' } });
  });
});
