/** What a file's `drop … cascade` takes along, and nothing makes again, is named at the end: psql would show a notice, and the engine is silent while it runs. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
const send = (files: Files, transaction = 'single') =>
  deployFiles(connectOver(database.url), {
    'weft.yaml': JSON.stringify({
      name: 'shop',
      phases: [
        { name: 'code', transaction, steps: [{ run: 's/1.sql' }, { run: 'v/*.sql', repeat: 'on-change' }] },
        { name: 'rest', transaction, steps: [{ run: 'z/*.sql' }] },
      ],
    }),
    ...files,
  });
const OK = (body: string) =>
  `drop function if exists ok(text) cascade; create function ok(t text) returns boolean language sql immutable as $$ select ${body} $$;`;
const FILES: Files = {
  's/1.sql': 'create table acct (id int primary key, tenant text, is_ok boolean)',
  'v/f.sql': OK('t is not null'),
  'z/1.sql': `alter table acct enable row level security; create policy own on acct using (ok(tenant)); alter table acct add constraint ck check (ok(tenant));
    create index ai on acct (id) where ok(tenant); create materialized view mv as select * from acct where ok(tenant); create index mvi on mv (id); alter table acct alter is_ok set default ok('x')`,
};

it.each(['single', 'per-step', 'none'])('under transaction: %s', async (transaction) => {
  expect(await send(FILES, transaction)).toMatchObject({ state: 'succeeded', gone_along: null });
  await sql(
    database.url,
    'create view report as select * from mv; create function of_report() returns setof report language sql as $$ select * from report $$',
  );
  const end = await send({ ...FILES, 'v/f.sql': OK(`t <> ''`) }, transaction);
  expect(end).toMatchObject({
    state: 'succeeded',
    gone_along: {
      count: 7,
      objects: [
        { kind: 'constraint', identity: 'public.acct.ck' },
        { kind: 'default of column', identity: 'public.acct.is_ok' },
        { kind: 'policy', identity: 'public.acct.own' },
        { kind: 'index', identity: 'public.ai' },
        { kind: 'materialized view', identity: 'public.mv' },
        { kind: 'function', identity: 'public.of_report()' },
        { kind: 'view', identity: 'public.report' },
      ],
    },
  });
  expect(renderSummary(end, UNCOLOURED)).toContain(
    'Gone with what was dropped (cascade), named by no file that ran, and made again by none: 7 objects:\n  constraint public.acct.ck\n',
  );
  expect((await send({ ...FILES, 'v/f.sql': OK(`t <> ''`) }, transaction)).gone_along).toBeNull();
});

it('what a file names when it drops it, what hangs on it, and what is made again, is not told', async () => {
  await send({ ...FILES, 'v/g.sql': 'create or replace view g as select ok(tenant) as is_fine from acct' });
  await sql(database.url, 'create view others as select id from acct');
  const end = await send({
    ...FILES,
    'v/f.sql': OK(`t <> ''`),
    'v/g.sql': 'create or replace view g as select ok(tenant) as is_fine from acct',
    'z/2.sql': '-- own, ck, ai, mv and the default of is_ok go with this\ndrop table acct cascade',
  });
  expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
  expect(end.gone_along).toMatchObject({ count: 1, objects: [{ kind: 'view', identity: 'public.others' }] });
});

it('a name with a quote in it is another name, and a file that names it as it is written has named it', async () => {
  const views = ['f""g', 'f(g'].map((name) => `create or replace view "${name}" as select ok(tenant) as is_fine from acct;`).join(' ');
  await send({ ...FILES, 'v/g.sql': views });
  await sql(database.url, 'create view "acct""" as select ok(tenant) as is_fine from acct');
  const end = await send({
    ...FILES,
    'v/f.sql': OK(`t <> ''`),
    'v/g.sql': 'select 1 as "f""g", 2 as "f(g"',
    'z/2.sql': '-- own, ck, ai, mv, mvi and the default of is_ok go with this',
  });
  expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
  expect(end.gone_along).toMatchObject({ count: 1, objects: [{ kind: 'view', identity: 'public."acct"""' }] });
});

it('a column is told, for its rows went with it: of a type or a function that was dropped, also where it is called like that', async () => {
  const made = {
    's/1.sql': `create type mood as enum ('calm'); create function twice(n int) returns int language sql immutable as 'select n * 2';
      create table person (id int primary key, mood mood default 'calm', n int, two int generated always as (twice(n)) stored, gone int); create table child () inherits (person)`,
    'v/f.sql': 'select 1',
    'z/0.sql': 'select 1',
  };
  await send(made);
  const end = await send({
    ...made,
    'v/f.sql': `drop type if exists mood cascade; create type mood as enum ('calm', 'wild'); drop function twice(int) cascade`,
    'z/1.sql': 'alter table person drop column if exists gone; create table note (mood text)',
  });
  expect(end, JSON.stringify(end.error)).toMatchObject({
    state: 'succeeded',
    gone_along: {
      count: 4,
      objects: ['public.child.mood', 'public.child.two', 'public.person.mood', 'public.person.two'].map((identity) => ({ kind: 'column', identity })),
    },
  });
});

it('a column of a table that a file makes anew, renames or moves is not told', async () => {
  const made = {
    's/1.sql':
      'create schema s; create table a (n int, x int); create table b (n int, x int); create table c (n int, x int); create table s.d (n int, x int); create view v as select 1 as one; create type pair as (n int, x int)',
    'v/f.sql': 'select 1',
    'z/0.sql': 'select 1',
  };
  await send(made);
  const end = await send({
    ...made,
    'z/1.sql': `drop view v cascade; alter type pair drop attribute x; drop table if exists a cascade; create table a (n int); alter table b rename to b_old; create table b (n int);
      create table c_new (n int); drop table c; alter table c_new rename to c; drop schema s cascade; create schema s; create table s.d (n int)`,
  });
  expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded', gone_along: null });
});

it('what has only moved to another schema is there, and is not told; nor is an index of a partitioned table that goes with that', async () => {
  await send({
    's/1.sql':
      'create schema old; create table old.a (id serial primary key); create table old.b (id int, at date) partition by range (at); create index b_at on old.b (at)',
    'v/f.sql': 'create or replace view old.va as select id from old.a',
    'z/1.sql':
      'create function old.f() returns trigger language plpgsql as $$ begin return new; end $$; create trigger t before insert on old.a for each row execute function old.f()',
  });
  await sql(database.url, 'create view old.lost as select 1 as one; create view old.by_hand as select one from old.lost');
  const end = await send({
    's/1.sql':
      'create schema old; create table old.a (id serial primary key); create table old.b (id int, at date) partition by range (at); create index b_at on old.b (at)',
    'v/f.sql': 'create or replace view old.va as select id from old.a',
    'z/1.sql':
      'create function old.f() returns trigger language plpgsql as $$ begin return new; end $$; create trigger t before insert on old.a for each row execute function old.f()',
    'z/2.sql': 'drop view old.lost cascade; drop table old.b; create schema later; alter table old.a set schema later; alter schema old rename to new',
  });
  expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded' });
  expect(end.gone_along).toMatchObject({ count: 1, objects: [{ kind: 'view', identity: 'old.by_hand' }] });
});

it('nor is what a table has of its own, wherever that stands: sequences, statistics, storage, its place in a publication', async () => {
  const made = {
    's/1.sql': `create table t (id serial primary key, n int generated always as identity, m text); create statistics st on n, m from t; alter table t set (toast.autovacuum_enabled = false);
      create schema s; create table s.hidden (id serial, n int); create statistics s.of_hidden on id, n from s.hidden; alter table s.hidden set (fillfactor = 50); create publication pub for table t, s.hidden`,
    'v/f.sql': 'select 1',
    'z/0.sql': 'select 1',
  };
  await send(made);
  const end = await send({ ...made, 'z/1.sql': 'drop table t cascade; drop schema s cascade' });
  expect(end, JSON.stringify(end.error)).toMatchObject({ state: 'succeeded', gone_along: { count: 1, objects: [{ kind: 'table', identity: 's.hidden' }] } });
});
