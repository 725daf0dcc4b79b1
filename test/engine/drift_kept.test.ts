/** Drift stays drift behind a deployment, failed or not, until it is as it was, a deployment changes it, or somebody says that it is meant. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles as deployBundle, stageFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { deployFiles, passFiles } from './support.ts';
import { deployWays, undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const drift = () => sql(database.url, 'select change, kind, identity from weft.drift()');
const document = async () => (await sql(database.url, 'select weft.describe_drift() as document'))[0].document;
const accept = async (fingerprint: string | null = null) =>
  (await sql(database.url, `select weft.accept_drift(${fingerprint === null ? 'null' : `'${fingerprint}'`}) as document`))[0].document;
const START = { '1.sql': 'create table goods (id int, name text); create index by_name on goods (name); create view v as select id from goods' };
const COLUMN = { change: 'added', kind: 'column', identity: 'public.goods.by_hand' };
const INDEX = { change: 'missing', kind: 'index', identity: 'public.by_name' };

/** Deploys, and then changes something by hand. */
async function start(byHand = 'alter table goods add by_hand int; drop index by_name') {
  const deployment = await passFiles(database.url, START);
  await sql(database.url, byHand);
  return deployment;
}

describe('drift stays drift', () => {
  it.each([
    ['a statement of a file that failed', { '2.sql': 'create table two (n int); vacuum goods; select 1/0' }, 'auto', 'failed'],
    ['a step in front of the one that failed', { '2.sql': 'create table two (n int)', '3.sql': 'select 1/0' }, 'per-step', 'failed'],
    [
      'all of it',
      { '2.sql': 'create table two (n int); alter table goods add other int; create or replace view v as select id from goods' },
      'single',
      'succeeded',
    ],
  ] as const)('behind a deployment that has committed %s', async (_, files, transaction, state) => {
    await start();
    const { id } = await deployFiles(database.url, { ...START, ...files }, transaction);
    expect(await document()).toMatchObject({
      verdict: 'drift',
      count: 2,
      objects: [INDEX, COLUMN],
      since: { deployment: id, state, drift_found: [{ count: 2 }], accepted: null },
    });
    await passFiles(database.url, { '9.sql': 'create table nine (n int)' });
    expect(await drift()).toEqual([INDEX, COLUMN]);
  });

  it('behind a batch that has committed rounds and failed', async () => {
    await start();
    const batch = { batch: 'fill.sql', size: 2, cursor: 0 };
    const half = await deployBundle(connectOver(database.url), {
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'fill', steps: [{ run: 'rows.sql' }, batch] }] }),
      'rows.sql': 'insert into goods select n from generate_series(1, 5) as n',
      'fill.sql': `update goods set by_hand = 1 / (id - 4) where id in (select id from goods where id > :'cursor' order by id limit :size) returning id as cursor`,
    });
    expect(half).toMatchObject({ state: 'failed', has_committed: true });
    expect(await drift()).toEqual([INDEX, COLUMN]);
  });

  it('until it is as it was: by hand, or by a deployment', async () => {
    await start();
    await passFiles(database.url, { '2.sql': 'create index by_name on goods (name)' });
    expect(await drift()).toEqual([COLUMN]);
    await sql(database.url, 'alter table goods drop by_hand');
    expect(await document()).toMatchObject({ verdict: 'none', count: 0 });
  });

  it('but for a half-made index that was taken away, as the account of its deployment says, once another one has come', async () => {
    await sql(database.url, 'create table goods (id int, name text); insert into goods select 1 from generate_series(1, 2)');
    await passFiles(database.url, { '1.sql': 'create table one (n int)' });
    await sql(database.url, 'create table two (n int); insert into two values (1), (1)');
    const client = await database.client();
    await expect(client.query('create unique index concurrently half on two (n)')).rejects.toMatchObject({ code: '23505' });
    await accept();
    await client.query('drop index half');
    await client.end();
    expect(await drift()).toEqual([{ change: 'missing', kind: 'index', identity: 'public.half' }]);
    await passFiles(database.url, { '2.sql': 'create table three (n int)' });
    expect(await drift()).toEqual([]);
  });

  it('until a deployment changes that very object: then it is as that one has left it', async () => {
    await start(
      `alter table goods alter name set not null; create function f() returns int language sql as 'select 1'; create table made (n int); drop view v; alter table goods rename id to number`,
    );
    expect(await drift()).toHaveLength(6);
    await passFiles(database.url, {
      '2.sql': `alter table goods alter name type varchar(9); create or replace function f() returns int language sql as 'select 2'; alter table made add m int;
        create view v as select 1 as id`,
    });
    expect(await drift()).toEqual([
      { change: 'missing', kind: 'column', identity: 'public.goods.id' },
      { change: 'added', kind: 'column', identity: 'public.goods.number' },
      { change: 'added', kind: 'table', identity: 'public.made' },
    ]);
    await sql(database.url, 'alter table goods drop name');
    expect(await drift()).toContainEqual({ change: 'missing', kind: 'column', identity: 'public.goods.name' });
  });

  it('until a deployment gives its table another name: objects are known by their names, and that deployment has told what it met', async () => {
    await start('alter table goods add by_hand int; create index also_by_hand on goods (id)');
    const end = await passFiles(database.url, { '2.sql': 'alter table goods rename to wares' });
    expect(end.drift_found).toMatchObject([{ count: 2, objects: [{ change: 'added', kind: 'index', identity: 'public.also_by_hand' }, COLUMN] }]);
    expect(await drift()).toEqual([]);
  });

  it('until a deployment gives its table another schema, what was dropped from it too', async () => {
    await start('drop index by_name; drop view v; alter table goods drop name');
    expect(await drift()).toHaveLength(3);
    await passFiles(database.url, { '2.sql': 'create schema apart; alter table goods set schema apart' });
    expect(await drift()).toEqual([]);
  });

  it('of what somebody has dropped, though a deployment would drop it or give it another name: it has found nothing to change', async () => {
    await start('drop index by_name; drop view v');
    await passFiles(database.url, { '2.sql': 'drop index if exists by_name; alter view if exists v rename to w' });
    expect(await drift()).toEqual([INDEX, { change: 'missing', kind: 'view', identity: 'public.v' }]);
  });

  it('until a deployment drops what it hangs on: with that it would have gone', async () => {
    const things = `create table things (id int primary key, n int constraint positive check (n > 0)); create index by_n on things (n); create index "by id" on only things (id);
      create view seen as select id from things; create function act() returns trigger language plpgsql as 'begin return new; end'; create trigger act before update on things for each row execute function act();
      create policy own on things using (id > 0); comment on table things is 'one'; comment on column things.n is 'two'; comment on index by_n is 'three'; comment on view seen is 'four';
      comment on constraint positive on things is 'five'; create schema "Apart"; create table "Apart".t (n int); comment on table "Apart".t is 'six'`;
    await passFiles(database.url, { ...START, '2.sql': things });
    await sql(
      database.url,
      `comment on table things is null; comment on column things.n is null; comment on view seen is null; comment on constraint positive on things is null; drop index by_n, "by id";
       alter table things drop constraint positive; drop trigger act on things; drop policy own on things; drop table "Apart".t; drop index by_name`,
    );
    expect(await drift()).toHaveLength(13);
    await passFiles(database.url, { '3.sql': 'create table three (n int)' });
    expect(await drift()).toHaveLength(13);
    await passFiles(database.url, { '4.sql': 'drop table things cascade; drop schema "Apart"' });
    expect(await drift()).toEqual([INDEX]);
  });

  it.each([
    [
      'what a table has, wherever it stands',
      `create table t (id serial primary key, n int, m int, txt text); create sequence own owned by t.n; comment on sequence own is 'a'; create statistics st on n, m from t; comment on statistics st is 'b';
       alter table t set (toast.autovacuum_enabled = false); create publication pub for table t, goods; comment on index t_pkey is 'c'; comment on constraint t_pkey on t is 'd'; create rule r as on delete to t do instead nothing;
       comment on rule r on t is 'e'`,
      `alter table t alter id drop default; drop sequence t_id_seq, own; drop statistics st; alter table t reset (toast.autovacuum_enabled); alter publication pub drop table t; comment on index t_pkey is null;
       comment on constraint t_pkey on t is null; comment on rule r on t is null`,
      'drop table t; drop publication pub',
    ],
    [
      'a partition, and what it had',
      `create table p (id int, at int) partition by range (at); create table p1 partition of p for values from (1) to (10) partition by range (at); create table p2 partition of p1 for values from (1) to (5);
       create index own on p2 (id); comment on index own is 'a'; comment on table p2 is 'b'`,
      'drop table p1',
      'drop table p',
    ],
    [
      'what a column had',
      `create table t (id int, "N n" int constraint positive check ("N n" > 0), other int, constraint uni unique (id, "N n")); create index i on t (id) where "N n" > 1; create index e on t (("N n" + 1));
       create statistics st on id, "N n" from t; create sequence own owned by t."N n"; comment on column t."N n" is 'a'; comment on constraint positive on t is 'b'; comment on index i is 'c'`,
      'alter table t drop constraint positive, drop constraint uni; drop index i, e; drop statistics st; drop sequence own; comment on column t."N n" is null',
      'alter table t drop "N n"',
    ],
    [
      'what was said of it, whatever it is',
      `create function f(a int, "b (c" double precision, variadic d text[], out e int) language sql as 'select 1'; comment on function f(int, double precision, text[]) is 'a';
       create procedure p(x timestamptz, inout y text) language sql as $$ select 'x' $$; comment on procedure p(timestamptz, text) is 'b'; create aggregate g(n int) (sfunc = int4pl, stype = int); comment on aggregate g(int) is 'c';
       create type mood as enum ('a'); comment on type mood is 'd'; create domain few as int constraint short check (value < 9); comment on constraint short on domain few is 'e';
       create operator === (leftarg = int, rightarg = int, function = int4eq); comment on operator === (int, int) is 'f'; create publication pub; comment on publication pub is 'g'`,
      `comment on function f(int, double precision, text[]) is null; comment on procedure p(timestamptz, text) is null; comment on aggregate g(int) is null; comment on type mood is null;
       comment on constraint short on domain few is null; comment on operator === (int, int) is null; comment on publication pub is null`,
      'drop function f(int, double precision, text[]); drop procedure p; drop aggregate g(int); drop type mood; drop domain few; drop operator === (int, int); drop publication pub',
    ],
    [
      'what stands in a schema, and what is said of it',
      `create schema s; create table s.t (id int); alter default privileges in schema s grant select on tables to public; create function s.f(a int) returns int language sql as 'select 1'`,
      'drop table s.t; alter default privileges in schema s revoke select on tables from public; drop function s.f',
      'drop schema s',
    ],
    [
      'what could not be without it',
      `create table t (id int primary key); create table uses (id int constraint points references t); create view seen as select id from t; create view seen_twice as select * from seen; comment on view seen is 'a';
       create function act() returns trigger language plpgsql as 'begin return new; end'; create trigger act before update on goods for each row execute function act(); comment on trigger act on goods is 'b';
       create table child () inherits (t)`,
      'alter table uses drop constraint points; drop view seen cascade; drop trigger act on goods; drop table child',
      'drop table t; drop function act()',
    ],
  ])('until a deployment drops what it hangs on: %s', async (_, made, byHand, dropping) => {
    const more = `${made}; create table stays (id int primary key, "N n" int constraint positive check ("N n" > 0)); create function f(a int) returns int language sql as 'select 1';
      comment on function f(int) is 'a'; comment on column stays."N n" is 'b'; create view over as select id from stays`;
    const others = `alter table stays drop constraint positive; comment on function f(int) is null; comment on column stays."N n" is null; drop index by_name; drop view over`;
    await passFiles(database.url, { ...START, '2.sql': more });
    await sql(database.url, others);
    const kept = await drift();
    expect(kept).toHaveLength(5);
    await sql(database.url, byHand);
    expect((await drift()).length).toBeGreaterThan(5);
    await passFiles(database.url, { '3.sql': dropping });
    expect(await drift()).toEqual(kept);
  });

  it('and the order of columns is told only where a hand has changed it', async () => {
    await start('alter table goods drop id cascade; alter table goods add id int');
    const reordered = [
      { change: 'changed', kind: 'table', identity: 'public.goods' },
      { change: 'missing', kind: 'view', identity: 'public.v' },
    ];
    expect(await drift()).toEqual(reordered);
    await passFiles(database.url, { '2.sql': 'alter table goods add other int' });
    expect(await drift()).toEqual(reordered);
    await passFiles(database.url, { '3.sql': 'alter table goods drop name; alter table goods add name text' });
    expect(await drift()).toEqual(reordered.slice(1));
  });

  it('behind an undo, whose own changes are none', async () => {
    await deployWays(database.url, { 'one.sql': { run: START['1.sql'] } });
    await sql(database.url, 'alter table goods add by_hand int; drop index by_name');
    await deployWays(database.url, { 'two.sql': { run: 'create table two (n int)', undo: 'drop table two' } });
    expect(await drift()).toEqual([INDEX, COLUMN]);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await sql(database.url, `select to_regclass('two') as two`)).toEqual([{ two: null }]);
    expect(await drift()).toEqual([INDEX, COLUMN]);
  });

  it('but not behind an undo for what it would have taken away, or brought back, and somebody has before it', async () => {
    await deployWays(database.url, { 'one.sql': { run: START['1.sql'] } });
    const two = {
      run: 'create view two as select 1 as n; drop index by_name',
      undo: 'drop view if exists two; create index if not exists by_name on goods (name)',
    };
    await deployWays(database.url, { 'two.sql': two });
    await sql(database.url, 'drop view two; create index by_name on goods (name); alter table goods add by_hand int');
    expect(await drift()).toEqual([{ ...INDEX, change: 'added' }, COLUMN, { change: 'missing', kind: 'view', identity: 'public.two' }]);
    expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
    expect(await drift()).toEqual([COLUMN]);
  });

  it('behind an undo, of what stays applied', async () => {
    await deployWays(database.url, { 'one.sql': { run: START['1.sql'] } });
    await deployWays(database.url, {
      'two.sql': { run: 'create view two as select 1 as n', undo: 'drop view if exists two' },
      'three.sql': { run: 'create table three (n int)' },
    });
    await sql(database.url, 'drop table three');
    expect(await undo(database.url, 'p_partly => true')).toMatchObject({ state: 'succeeded' });
    expect(await drift()).toEqual([{ change: 'missing', kind: 'table', identity: 'public.three' }]);
  });

  it('behind one that was passed, and behind the one that has passed it, whose changes are none', async () => {
    await start();
    const files = {
      '1.sql': START['1.sql'],
      '2.sql': 'create table two (n int)',
      '3.sql': 'create index concurrently by_id on goods (id)',
      '4.sql': 'create table four (n int)',
    };
    const first = await stageFiles(database.url, files, { caller: 'first', transaction: 'auto' });
    expect((await sql(database.url, `call weft.run('${first}')`))[0].result).toMatchObject({ directive: { path: '3.sql' } }); // and its session is gone
    const resumed = (id: string, callers: string[]) => resume({ connect: connectOver(database.url), id, target: null, callers, deadlineMs: 50_000 });
    const second = await stageFiles(database.url, { '5.sql': 'create table five (n int)' }, { caller: 'second', bundle: 'other' });
    expect(await resumed(second, ['second'])).toMatchObject({ state: 'succeeded', drift_found: [] });
    expect(await drift()).toEqual([INDEX, COLUMN]);
    expect(await resumed(first, ['first', 'second'])).toMatchObject({ state: 'succeeded', drift_found: [{ objects: [INDEX, COLUMN] }] });
    expect(await drift()).toEqual([INDEX, COLUMN]);
  });
});

describe('accept_drift', () => {
  it('says that what is there is meant: drift is told since then, also when the deployment before it is opened again', async () => {
    const { id } = await deployBundle(connectOver(database.url), {
      'weft.yaml': JSON.stringify({
        name: 'shop',
        phases: [{ name: 'main', transaction: 'per-step', steps: [{ run: '1.sql' }, { run: '2.sql', on_error: 'continue' }] }],
      }),
      ...START,
      '2.sql': 'create index by_hand on goods (by_hand)',
    });
    await sql(database.url, 'alter table goods add by_hand int; drop index by_name');
    const seen = await document();
    const accepted = await accept(seen.fingerprint.after);
    expect(accepted).toMatchObject({
      verdict: 'none',
      since: { deployment: id, accepted: { by: expect.stringMatching(/^role /), count: 2, objects: [INDEX, COLUMN] } },
    });
    expect(await sql(database.url, `select data ->> 'count' as count from weft.events where kind = 'drift_accepted'`)).toEqual([{ count: '2' }]);
    const [{ result }] = await sql(database.url, `call weft.run('${id}', p_reopen => '{"key": "a"}')`);
    expect(result).toMatchObject({ state: 'succeeded', drift_found: [] });
    expect(await drift()).toEqual([]);
    await sql(database.url, 'drop table goods cascade');
    expect((await document()).count).toBe(3);
  });

  it('accepts only what was looked at', async () => {
    await start();
    const seen = await document();
    await sql(database.url, 'create table later (n int)');
    await expect(accept(seen.fingerprint.after)).rejects.toMatchObject({ code: 'WF088', message: 'The catalog is not any more what was looked at.' });
    expect((await document()).count).toBe(3);
  });

  it('accepts nothing while a deployment has begun and is not over, nor before one has left anything', async () => {
    await expect(accept()).rejects.toMatchObject({ code: 'WF088', message: expect.stringMatching(/^No deployment has left anything/) });
    await start();
    const id = await stageFiles(database.url, { '2.sql': 'create index concurrently by_id on goods (id)' }, { transaction: 'none' });
    await sql(database.url, `call weft.run('${id}')`);
    await expect(accept()).rejects.toMatchObject({ code: 'WF088', message: expect.stringContaining(`Deployment ${id} has begun and is not over`) });
  });

  it('gives something to compare with on another major version too', async () => {
    const { id } = await start();
    await sql(database.url, `update weft._deployments set fingerprint_expected = '1:13:00' where id = '${id}'`);
    expect(await sql(database.url, `select weft.describe_drift() ->> 'reason' as reason`)).toEqual([
      { reason: expect.stringContaining('weft drift --accept') },
    ]);
    expect(await accept()).toMatchObject({ verdict: 'none', since: { accepted: { count: null } } });
  });
});
