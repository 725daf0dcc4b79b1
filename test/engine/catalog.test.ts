/**
 * The fingerprint: one hash over the catalog. Equal for what the same files made, whoever looks and under whatever settings;
 * another after each kind of change; blind for what is Weft's, a session's or an extension's.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { failFiles, passFiles } from './support.ts';

const databases: TestDatabase[] = [];
const roles = [`weft_test_reader_${process.pid}`, `weft_test_writer_${process.pid}`] as const;

async function databaseWithEngine(): Promise<TestDatabase> {
  const database = await freshDatabase();
  databases.push(database);
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  return database;
}

const SHOP = `
  create schema shop;
  create type shop.mood as enum ('sad', 'glad');
  create function shop.next_code() returns int language sql as $$ select 7 $$;
  create domain shop.code as int default shop.next_code() constraint positive check (value > 0);
  create sequence shop.numbers start 10;
  create table shop.customers (
    id bigint generated always as identity primary key,
    name text not null default 'it''s',
    seen timestamptz default '2026-03-01 02:00:00+00',
    born date check (born > '1900-01-02'),
    wait interval default '1 day 02:03:04',
    rate double precision default 0.1::float8 + 0.2,
    raw bytea default '\\x00ff5c',
    price money default 12.5::money,
    code shop.code,
    mood shop.mood default 'sad',
    "Order" int);
  create table shop.orders (id bigint primary key, customer bigint references shop.customers, at timestamptz not null) partition by range (id);
  create table shop.orders_1 partition of shop.orders for values from (1) to (1000);
  create index by_name on shop.customers (lower(name)) where born > '2000-01-02';
  create view shop.glad as select id, name || ' ' as "Name" from shop.customers where mood = 'glad' and seen > '2026-01-01 12:00:00+00';
  create materialized view shop.counted as select count(*) as n from shop.customers;
  create function shop.touch() returns trigger language plpgsql as $$ begin return new; end $$;
  create trigger touched before update on shop.customers for each row when (new.seen > '2026-01-01 00:00:00+00') execute function shop.touch();
  create rule quiet as on delete to shop.customers where old.seen < '2020-01-01 00:00:00+00' do instead nothing;
  alter table shop.customers enable row level security;
  create policy own on shop.customers using (seen < '2027-01-01 00:00:00+00');
  comment on table shop.customers is 'People.';
  comment on column shop.customers.name is 'As they write it.';
  comment on type shop.mood is 'How they feel.';
  comment on constraint positive on domain shop.code is 'Above zero.';
  comment on trigger touched on shop.customers is 'Nothing.';
`;

let database: TestDatabase;

beforeAll(async () => {
  database = await databaseWithEngine();
  for (const role of roles) await sql(database.url, `create role ${role}`);
  await sql(database.url, SHOP);
  await sql(database.url, `grant select on shop.customers to ${roles[0]}; grant insert on shop.customers to ${roles[1]}; grant usage on schema shop to public`);
});

afterAll(async () => {
  const postgres = new URL(database.url);
  postgres.pathname = '/postgres';
  for (const one of databases) await one.drop();
  for (const role of roles) await sql(postgres.href, `drop role ${role}`);
});

async function fingerprint(url = database.url, settings = 'select 1'): Promise<string> {
  const [row] = await sql(url, `${settings}; select weft.fingerprint() as fingerprint`);
  return row.fingerprint;
}

it('begins with the version of the reading and of the server', async () => {
  const [{ major }] = await sql(database.url, `select current_setting('server_version_num')::int / 10000 as major`);
  expect(await fingerprint()).toMatch(new RegExp(`^\\d+:${major}:[0-9a-f]{64}$`));
});

it('is the hash of a snapshot in which every row is whole and stands once', async () => {
  const rows = await sql(database.url, 'select kind, identity, definition from weft.snapshot()');
  expect(rows.filter(({ kind, identity, definition }) => kind === null || identity === null || definition === null)).toEqual([]);
  expect(new Set(rows.map((row) => JSON.stringify(row))).size).toBe(rows.length);
  expect(rows.length).toBeGreaterThan(30);
});

describe('is the same', () => {
  it('for another database that the same files made, with rights granted in another order', async () => {
    const other = await databaseWithEngine();
    await sql(other.url, SHOP);
    await sql(other.url, `grant usage on schema shop to public; grant insert on shop.customers to ${roles[1]}; grant select on shop.customers to ${roles[0]}`);
    expect(await fingerprint(other.url)).toBe(await fingerprint());
  });

  it('for another database whose files were run under other settings', async () => {
    const other = await databaseWithEngine();
    const settings = `set search_path = shop, public; set DateStyle = 'German, DMY'; set IntervalStyle = iso_8601; set TimeZone = 'Asia/Tokyo'; set quote_all_identifiers = on; set bytea_output = escape; set extra_float_digits = 0`;
    const dated = SHOP.replace('create schema shop;', `create schema shop; ${settings};`);
    await sql(other.url, dated);
    await sql(other.url, `grant select on shop.customers to ${roles[0]}; grant insert on shop.customers to ${roles[1]}; grant usage on schema shop to public`);
    expect(await fingerprint(other.url)).toBe(await fingerprint());
  });

  it.each([
    ['DateStyle', `set DateStyle = 'SQL, DMY'`],
    ['IntervalStyle', `set IntervalStyle = sql_standard`],
    ['TimeZone', `set TimeZone = 'America/St_Johns'`],
    ['search_path', `set search_path = shop`],
    ['search_path without pg_catalog first', `set search_path = shop, public, pg_catalog`],
    ['quote_all_identifiers', `set quote_all_identifiers = on`],
    ['extra_float_digits', `set extra_float_digits = -5`],
    ['bytea_output', `set bytea_output = escape`],
    ['standard_conforming_strings', `set standard_conforming_strings = off`],
  ])('under another %s', async (_, setting) => {
    const [plain, changed] = [await fingerprint(), await fingerprint(database.url, setting)];
    expect(changed).toBe(plain);
  });

  it('for a role whose settings are others', async () => {
    const [plain] = await sql(
      database.url,
      'select string_agg(concat_ws(kind, identity, definition), chr(10) order by kind, identity) as all from weft.snapshot()',
    );
    await sql(
      database.url,
      `alter database ${database.name} set search_path = shop; alter database ${database.name} set DateStyle = 'German'; alter database ${database.name} set quote_all_identifiers = on`,
    );
    try {
      const [changed] = await sql(
        database.url,
        'select string_agg(concat_ws(kind, identity, definition), chr(10) order by kind, identity) as all from weft.snapshot()',
      );
      expect(changed).toEqual(plain);
    } finally {
      await sql(database.url, `alter database ${database.name} reset all`);
    }
  });

  it('whatever rows there are, and whatever a sequence stands at', async () => {
    const before = await fingerprint();
    await sql(
      database.url,
      `insert into shop.customers (name) values ('a'); select nextval('shop.numbers'); refresh materialized view shop.counted; analyze shop.customers`,
    );
    expect(await fingerprint()).toBe(before);
  });

  it('beside temporary objects', async () => {
    const plain = await fingerprint();
    expect(
      await fingerprint(
        database.url,
        `create temp table t (n int); create temp view v as select 1; create function pg_temp.f() returns int language sql as 'select 1'`,
      ),
    ).toBe(plain);
  });

  it('beside what a deployment writes into the schema weft', async () => {
    const deployment = await passFiles(database.url, { 'nothing.sql': 'select 1;' });
    expect(deployment.fingerprint.after).toBe(deployment.fingerprint.before);
    expect(deployment.fingerprint.after).toBe(await fingerprint());
  });

  it('beside members of extensions, with their indexes and comments; the extension itself shows', async ({ skip }) => {
    if (database.superuserUrl === null) return skip();
    const other = await databaseWithEngine();
    const superuser = other.superuserUrl as string;
    const plain = await fingerprint(superuser);
    await sql(
      superuser,
      `create table public.member (id int primary key, n int); create index on public.member (n); create function public.member() returns int language sql as 'select 1';
       create type public.mood as enum ('glad'); create sequence public.counter; create view public.seen as select * from public.member; create schema of_the_extension;
       comment on function public.member() is 'x'; comment on table public.member is 'x'; comment on column public.member.n is 'x'; comment on schema of_the_extension is 'x'; comment on type public.mood is 'x';
       alter extension plpgsql add table public.member; alter extension plpgsql add function public.member(); alter extension plpgsql add type public.mood;
       alter extension plpgsql add sequence public.counter; alter extension plpgsql add view public.seen; alter extension plpgsql add schema of_the_extension`,
    );
    expect(await sql(superuser, `select kind, identity from weft.snapshot() where identity ~ 'member|mood|counter|seen|of_the_extension'`)).toEqual([]);
    expect(await fingerprint(superuser)).toBe(plain);
    expect(await sql(database.url, `select identity from weft.snapshot() where kind = 'extension'`)).toEqual([{ identity: 'plpgsql' }]);
  });

  it('beside the objects of an extension, of which name, version and schema show', async ({ skip }) => {
    const [offered] = await sql(database.url, `select from pg_available_extensions where name = 'citext'`);
    if (offered === undefined) return skip('this server brings no contrib modules');
    const other = await databaseWithEngine();
    const before = await fingerprint(other.url);
    const snapshot = 'select kind, identity, definition from weft.snapshot() order by kind, identity';
    const rows = await sql(other.url, snapshot);
    await sql(other.url, 'create extension citext schema public');
    const added = (await sql(other.url, snapshot)).filter((row) => !rows.some((known) => JSON.stringify(known) === JSON.stringify(row)));
    expect(added).toEqual([{ kind: 'extension', identity: 'citext', definition: expect.stringMatching(/^[\d.]+ in public$/) }]);
    expect(await fingerprint(other.url)).not.toBe(before);
  });

  it('whatever stands in the schemas of the system and of Weft', async () => {
    expect(await sql(database.url, `select identity from weft.snapshot() where identity ~ '^(weft|pg_|information_schema)'`)).toEqual([]);
  });

  it('as long as nothing of a failed deployment is there', async () => {
    const before = await fingerprint();
    await failFiles(database.url, { 'failing.sql': 'create table shop.gone (); select 1/0;' });
    expect(await fingerprint()).toBe(before);
  });

  it('after a change and its undoing', async () => {
    const before = await fingerprint();
    await sql(database.url, `alter table shop.customers alter name drop default; alter table shop.customers alter name set default 'it''s'`);
    expect(await fingerprint()).toBe(before);
  });
});

describe('is another after', () => {
  it.each([
    ['a schema', 'create schema more'],
    ['a table', 'create table shop.more ()'],
    ['a column', 'alter table shop.customers add more int'],
    ['the type of a column', 'alter table shop.orders alter at type timestamptz(3)', 'alter table shop.orders alter at type timestamptz(4)'],
    ['the order of columns', 'create table shop.more (a int, b int)', 'create table shop.more (b int, a int)'],
    ['a column default', `alter table shop.customers alter name set default 'its'`],
    ['NOT NULL', 'alter table shop.customers alter seen set not null'],
    ['an identity', 'alter table shop.customers alter id set generated by default'],
    ['a generated column', 'alter table shop.customers add twice int generated always as ("Order" * 2) stored'],
    ['a collation', 'alter table shop.orders add more text collate "C"', 'alter table shop.orders add more text'],
    ['an index', 'create index on shop.customers (born)'],
    ['the predicate of an index', `drop index shop.by_name; create index by_name on shop.customers (lower(name)) where born > '2000-01-03'`],
    ['an invalid index', `INVALID`],
    ['a check constraint', `alter table shop.customers add constraint more check (name <> '')`],
    ['a foreign key', 'alter table shop.customers add foreign key (id) references shop.customers'],
    [
      'a constraint that is not validated',
      `alter table shop.customers add constraint more check (name <> '') not valid`,
      `alter table shop.customers add constraint more check (name <> '')`,
    ],
    ['a deferrable constraint', 'alter table shop.customers add unique (id) deferrable', 'alter table shop.customers add unique (id)'],
    ['the text of a view', `create or replace view shop.glad as select id, name || '.' as "Name" from shop.customers`],
    ['an option of a view', 'alter view shop.glad set (security_barrier = true)'],
    ['a materialized view', 'drop materialized view shop.counted; create materialized view shop.counted as select count(id) as n from shop.customers'],
    ['the body of a function', 'create or replace function shop.next_code() returns int language sql as $$ select 8 $$'],
    ['the volatility of a function', 'alter function shop.next_code() stable'],
    ['SECURITY DEFINER', 'alter function shop.next_code() security definer'],
    ['a setting of a function', 'alter function shop.next_code() set search_path = shop'],
    ['a trigger', 'create trigger more before insert on shop.customers for each row execute function shop.touch()'],
    ['a trigger that is off', 'alter table shop.customers disable trigger touched'],
    ['a rule', 'drop rule quiet on shop.customers'],
    ['a policy', `alter policy own on shop.customers using (seen < '2028-01-01 00:00:00+00')`],
    ['the roles of a policy', 'alter policy own on shop.customers to current_user'],
    ['row security', 'alter table shop.customers disable row level security'],
    ['forced row security', 'alter table shop.customers force row level security'],
    ['an enum value', `alter type shop.mood add value 'bored' before 'glad'`, `alter type shop.mood add value 'bored' after 'glad'`],
    ['a domain', 'alter domain shop.code set not null'],
    ['the default of a domain', 'alter domain shop.code set default 3'],
    ['the check of a domain', 'alter domain shop.code drop constraint positive; alter domain shop.code add constraint positive check (value > 1)'],
    ['a composite type', 'create type shop.pair as (a int, b int)'],
    ['a range', 'create type shop.spans as range (subtype = int)'],
    ['the collation of a range', 'create type shop.spans as range (subtype = text)', 'create type shop.spans as range (subtype = text, collation = "C")'],
    ['the cache of a sequence', 'alter sequence shop.numbers cache 10'],
    ['the owner of a sequence', 'alter sequence shop.numbers owned by shop.customers."Order"', 'alter sequence shop.numbers owned by shop.customers.id'],
    [
      'extended statistics',
      'create statistics shop.both on born, seen from shop.customers',
      'create statistics shop.both (mcv) on born, seen from shop.customers',
    ],
    ['the replica identity', 'alter table shop.customers replica identity full', 'alter table shop.customers replica identity nothing'],
    ['the default of a view', 'alter view shop.glad alter id set default 4'],
    ['a grant on a column of a view', `grant select (id) on shop.glad to ${roles[0]}`, `grant select ("Name") on shop.glad to ${roles[0]}`],
    ['the name of a column', 'alter table shop.customers rename "Order" to ordered'],
    ['the name of an enum value', `alter type shop.mood rename value 'sad' to 'low'`],
    ['a function of the same name', `create function shop.next_code(n int) returns int language sql as 'select n'`],
    ['a rule that is off', 'alter table shop.customers disable rule quiet'],
    ['a sequence', 'alter sequence shop.numbers increment 2'],
    ['the start of a sequence', 'alter sequence shop.numbers start 11'],
    ['a grant on a table', `grant update on shop.customers to ${roles[0]}`],
    ['a grant on a column', `grant update (name) on shop.customers to ${roles[0]}`],
    ['a grant on a schema', `grant create on schema shop to ${roles[0]}`],
    ['a grant on a function', `grant execute on function shop.next_code() to ${roles[0]}`],
    ['a grant on a sequence', `grant usage on sequence shop.numbers to ${roles[0]}`],
    ['a grant on a type', `grant usage on type shop.mood to ${roles[0]}`],
    ['a right taken away', `revoke insert on shop.customers from ${roles[1]}`],
    ['a partition', 'create table shop.orders_2 partition of shop.orders for values from (1000) to (2000)'],
    ['a partition let go', 'alter table shop.orders detach partition shop.orders_1'],
    ['inheritance', 'create table shop.child () inherits (shop.customers)', 'create table shop.child (like shop.customers)'],
    ['an unlogged table', 'create unlogged table shop.more (n int)', 'create table shop.more (n int)'],
    ['a storage parameter', 'alter table shop.customers set (fillfactor = 70)'],
    ['a comment on a table', `comment on table shop.customers is 'Folk.'`],
    ['a comment on a column', `comment on column shop.customers.name is null`],
    ['a comment on a function', `comment on function shop.next_code() is 'Seven.'`],
    ['a comment on a schema', `comment on schema shop is 'All of it.'`],
    ['a comment on a type', `comment on type shop.mood is 'How we feel.'`],
    ['a comment on a trigger', `comment on trigger touched on shop.customers is null`],
    ['a comment on a constraint', `comment on constraint positive on domain shop.code is null`],
    ['a comment on a policy', `comment on policy own on shop.customers is 'Whose?'`],
    ['an aggregate', 'create aggregate shop.total (int) (sfunc = int4pl, stype = int, initcond = 0)'],
    ['a procedure', 'create procedure shop.act() language sql as $$ select 1 $$'],
  ])('%s', async (what, change, rival = '') => {
    // in transactions that are taken back, so that each begins with the same catalog
    const client = await database.client();
    try {
      const fingerprintAfter = async (text: string) => {
        await client.query('begin');
        try {
          if (text === 'INVALID') {
            await client.query('create index more on shop.customers (born)');
            const valid = (await client.query('select weft.fingerprint() as f')).rows[0].f;
            await client.query('rollback');
            await client.query(`insert into shop.customers (name, born) values ('x', '2001-01-01'), ('y', '2001-01-01')`);
            await client.query('create unique index concurrently more on shop.customers (born)').catch(() => undefined);
            const { rows } = await client.query(`select indisvalid from pg_index where indexrelid = 'shop.more'::regclass`);
            expect(rows).toEqual([{ indisvalid: false }]);
            const invalid = (await client.query('select weft.fingerprint() as f')).rows[0].f;
            await client.query('drop index shop.more');
            expect(invalid).not.toBe(valid);
            return invalid;
          }
          if (text !== '') await client.query(text);
          return (await client.query('select weft.fingerprint() as f')).rows[0].f as string;
        } finally {
          await client.query('rollback');
        }
      };
      const before = await fingerprintAfter('');
      const changed = await fingerprintAfter(change);
      expect(changed, what).not.toBe(before);
      if (rival !== '') expect(await fingerprintAfter(rival)).not.toBe(changed);
    } finally {
      await client.end();
    }
  });
});
