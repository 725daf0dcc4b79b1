/**
 * The snapshot, kind by kind: what is written for a hundred objects at once is the server's own text, what a change of each rarer kind shows
 * as, and what says nothing because it changes nothing.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';

const role = `weft_test_kinds_${process.pid}`;
const databases: TestDatabase[] = [];
let database: TestDatabase;

async function databaseWithEngine(): Promise<TestDatabase> {
  const made = await freshDatabase();
  databases.push(made);
  const session = await connectTo({ connectionString: made.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  return made;
}

const SHOP = `
  create schema shop;
  create table shop.goods (id int primary key, name text, price numeric, kind varchar(10), tags text[], weight float8);
  create table shop.parts (a int, b int, "C d" text, e text collate "C", primary key (a, b));
  create function shop.same(a int, b int) returns boolean language sql immutable as 'select a = b';
  create function shop.watch() returns event_trigger language plpgsql as 'begin end';
  create type shop.pair as (a int, b int);
  create function shop.to_pair(n int) returns shop.pair language sql as 'select row(n, n)::shop.pair';
`;

beforeAll(async () => {
  database = await databaseWithEngine();
  await sql(database.url, SHOP);
  await sql(database.url, `create role ${role}; grant ${role} to current_user; grant all on schema shop to ${role}`);
});

afterAll(async () => {
  const postgres = new URL(database.url);
  postgres.pathname = '/postgres';
  for (const one of databases) await one.drop();
  await sql(postgres.href, `drop role ${role}`);
});

describe('what is written for many at once is what the server says of each', () => {
  const INDEXES = `
    create index i01 on shop.goods (name); create unique index i02 on shop.goods (name desc, price); create index i03 on shop.goods using hash (name);
    create index i04 on shop.goods (name nulls first, price desc nulls last, weight desc, kind); create index i05 on shop.goods (kind); create index i06 on shop.goods (tags);
    create index i07 on shop.goods using gin (tags); create index i08 on shop.goods (lower(name)); create index i09 on shop.goods (name) where price > 1;
    create index i10 on shop.goods (name) include (price); create index i11 on shop.goods (name text_pattern_ops); create index i12 on shop.goods (name collate "C");
    create index i13 on shop.goods (name) with (fillfactor = 50); create index i14 on shop.parts ("C d", a); create index i15 on shop.parts (e);
    create index i16 on shop.goods (id, name, price, kind, weight); create index i17 on shop.goods (name varchar_ops); create index "I 18" on shop.goods (weight);
    create table shop.days (day date, n int, primary key (day, n)) partition by range (day); create index i19 on shop.days (n); create table shop.day partition of shop.days for values from ('2026-01-01') to ('2026-02-01');
    create materialized view shop.seen as select id, name from shop.goods; create unique index i20 on shop.seen (id);
    create table shop.rows (one shop.pair, many shop.pair[], kinds varchar[]); create index i21 on shop.rows (one); create index i22 on shop.rows (many); create index i23 on shop.rows (kinds);`;
  const CONSTRAINTS = `
    alter table shop.goods add unique (name), add unique (price, name), add unique (weight) deferrable, add unique (kind) with (fillfactor = 50), add check (price > 0), add check (price < 100 and name <> 'x') no inherit,
      add exclude using btree (weight with =);
    create table shop.uses (a int, b int, c text, d text, e text, g int references shop.goods,
      h int references shop.goods on update cascade on delete restrict, i int references shop.goods on delete set null on update set default, j int references shop.goods deferrable initially deferred,
      foreign key (a, b) references shop.parts, foreign key (b, a) references shop.parts (b, a) match full on delete cascade, k int constraint "K s" references shop.goods on delete set default);
    alter table shop.uses add constraint late foreign key (g) references shop.goods not valid;
    alter table shop.parts add unique (e) include (a), add unique (a, b, "C d", e), add constraint five unique (e, "C d", b, a);
    alter table shop.goods rename constraint goods_name_key to "one Name"; alter index shop.goods_price_name_key rename to renamed`;

  it('of an index', async () => {
    const client = await database.client();
    try {
      await client.query(`begin; ${INDEXES}`);
      if ((await major()) >= 15) await client.query('create unique index i30 on shop.goods (price) nulls not distinct');
      const { rows } = await client.query(
        `select s.definition as ours, pg_get_indexdef(s.identity::regclass) as theirs from weft.snapshot() as s where s.kind = 'index' order by s.identity`,
      );
      expect(rows.length).toBeGreaterThan(20);
      expect(rows.map(({ ours }) => ours)).toEqual(rows.map(({ theirs }) => theirs));
    } finally {
      await client.end();
    }
  });

  it('of a constraint', async () => {
    const client = await database.client();
    try {
      await client.query(`begin; ${INDEXES}; ${CONSTRAINTS}`);
      if ((await major()) >= 15) await client.query(`alter table shop.goods add constraint alone unique nulls not distinct (id)`);
      if ((await major()) >= 15)
        await client.query(`alter table shop.uses add constraint part foreign key (b, a) references shop.parts (b, a) on delete set null (a)`);
      if ((await major()) >= 18) {
        await client.query(
          'alter table shop.uses add constraint idle foreign key (h) references shop.goods not enforced, add constraint idle_check check (a > b) not enforced',
        );
        await client.query('create table shop.spans (n int4range, days daterange, unique (n, days without overlaps))');
      }
      const { rows } = await client.query(
        `select s.identity, s.definition as ours,
                pg_get_constraintdef(c.oid)
                  || coalesce((select ' with ' || array_to_string(i.reloptions, ', ') from pg_class as i where i.oid = c.conindid and c.contype in ('p', 'u')), '') as theirs
         from weft.snapshot() as s
         full join pg_constraint as c on c.conrelid <> 0 and s.identity = format('%s.%I', c.conrelid::regclass, c.conname)
         where s.kind = 'constraint' and c.connamespace = 'shop'::regnamespace order by 1`,
      );
      expect(rows.length).toBeGreaterThan(20);
      expect(rows.map(({ identity, ours }) => [identity, ours])).toEqual(rows.map(({ identity, theirs }) => [identity, theirs]));
    } finally {
      await client.end();
    }
  });
});

it('the name of a NOT NULL that has one of its own (since PostgreSQL 18)', async () => {
  const found = await changesOf(
    'create table shop.exact (a int not null, b int) partition by list (a); create table shop.exact_1 partition of shop.exact for values in (1)',
    (await major()) >= 18 ? 'alter table shop.exact rename constraint exact_a_not_null to nn' : 'select 1',
  );
  expect(found.map(({ identity, before, after }) => [identity, before, after])).toEqual(
    (await major()) >= 18 ? [['shop.exact.a', 'integer not null', 'integer not null constraint nn']] : [],
  );
});

async function major(): Promise<number> {
  const [row] = await sql(database.url, `select current_setting('server_version_num')::int / 10000 as major`);
  return row.major;
}

/** What a change makes of the catalog, as rows, in a transaction that is taken back. */
async function changesOf(
  before: string,
  change: string,
  url = database.url,
): Promise<{ change: string; kind: string; identity: string; before: string; after: string }[]> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(`begin; ${before}`);
    const was = (await client.query('select weft._read_catalog() as text')).rows[0].text;
    await client.query(change);
    return (await client.query('select * from weft._compare_catalogs($1, weft._read_catalog())', [was])).rows;
  } finally {
    await client.end();
  }
}

describe('a change shows as what it is:', () => {
  const added = (kind: string, identity: string) => [{ change: 'added', kind, identity, before: null, after: expect.any(String) }];
  const changed = (kind: string, identity: string, before: unknown = expect.any(String), after: unknown = expect.any(String)) => [
    { change: 'changed', kind, identity, before, after },
  ];

  it.each([
    ['a column', '', 'alter table shop.goods add n int', added('column', 'shop.goods.n')],
    [
      'a column gone',
      '',
      'alter table shop.goods drop weight',
      [{ change: 'removed', kind: 'column', identity: 'shop.goods.weight', before: 'double precision', after: null }],
    ],
    ['the type of a column', '', 'alter table shop.goods alter name type varchar(20)', changed('column', 'shop.goods.name', 'text', 'character varying(20)')],
    [
      'the default of a column',
      '',
      'alter table shop.parts alter "C d" set default $$a b$$',
      changed('column', 'shop.parts."C d"', 'text', `text default 'a b'::text`),
    ],
    [
      'the order of columns',
      'create table shop.t (a int, b int)',
      'drop table shop.t; create table shop.t (b int, a int)',
      changed('table', 'shop.t', expect.stringMatching(/columns a, b$/), expect.stringMatching(/columns b, a$/)),
    ],
    [
      'a table',
      '',
      'create table shop.t (a int, b int)',
      [{ change: 'added', kind: 'table', identity: 'shop.t', before: null, after: expect.stringMatching(/^owner .*\na integer\nb integer$/) }],
    ],
    ['an owner', '', `alter table shop.goods owner to ${role}`, changed('table', 'shop.goods', expect.stringMatching(/^owner /), `owner ${role}`)],
    [
      'rights',
      '',
      `grant select, insert on shop.goods to ${role} with grant option`,
      changed('table', 'shop.goods', expect.not.stringContaining('rights'), expect.stringContaining(`rights: its owner`)),
    ],
    ['the owner of a schema', '', `alter schema shop owner to ${role}`, changed('schema', 'shop')],
    ['the owner of a function', '', `alter function shop.watch() owner to ${role}`, changed('function', 'shop.watch()')],
    ['a storage', '', 'alter table shop.goods alter name set storage external', changed('column', 'shop.goods.name', 'text', 'text storage external')],
    ['a compression', '', 'alter table shop.goods alter name set compression pglz', changed('column', 'shop.goods.name', 'text', 'text compression pglz')],
    ['a statistics target', '', 'alter table shop.goods alter name set statistics 7', changed('column', 'shop.goods.name', 'text', 'text statistics 7')],
    [
      'a statistics target of an expression',
      'create index i on shop.goods (lower(name))',
      'alter index shop.i alter column 1 set statistics 7',
      changed('index', 'shop.i', expect.not.stringContaining('statistics'), expect.stringContaining(' statistics of column 1: 7')),
    ],
    [
      'a statistics target of a materialized view',
      'create materialized view shop.m as select name from shop.goods',
      'alter materialized view shop.m alter name set statistics 7',
      [expect.objectContaining({ identity: expect.stringMatching(/^shop\.m/) })],
    ],
    [
      'the rights on a composite type',
      'create type shop.duo as (a int, b text)',
      `revoke usage on type shop.duo from public; grant usage on type shop.duo to ${role}`,
      changed('composite type', 'shop.duo', expect.not.stringContaining('rights'), expect.stringContaining('rights')),
    ],
    [
      'the rights on the row type of a table',
      '',
      'revoke usage on type shop.goods from public',
      changed('table', 'shop.goods', expect.not.stringContaining('row type'), expect.stringContaining('row type rights')),
    ],
    [
      'an option of a column',
      '',
      'alter table shop.goods alter name set (n_distinct = 3)',
      changed('column', 'shop.goods.name', 'text', 'text with n_distinct=3'),
    ],
    ['the storage of large values', '', 'alter table shop.goods set (toast.autovacuum_enabled = false)', added('storage of large values', 'shop.goods')],
    ['an index clustered', 'create index i on shop.goods (name)', 'alter table shop.goods cluster on i', changed('index', 'shop.i')],
    [
      'the index of a constraint clustered',
      '',
      'alter table shop.goods cluster on goods_pkey',
      changed('constraint', 'shop.goods.goods_pkey', 'PRIMARY KEY (id)', 'PRIMARY KEY (id) clustered'),
    ],
    [
      'an option of the index of a constraint',
      '',
      'alter index shop.goods_pkey set (fillfactor = 50)',
      changed('constraint', 'shop.goods.goods_pkey', 'PRIMARY KEY (id)', 'PRIMARY KEY (id) with fillfactor=50'),
    ],
    ['a comment on an index', 'create index i on shop.goods (name)', `comment on index shop.i is 'x'`, added('comment', 'index shop.i')],
    ['a comment on a function', '', `comment on function shop.same(int, int) is 'x'`, added('comment', 'function shop.same(integer,integer)')],
    [
      'a comment on an aggregate',
      'create aggregate shop.total(int) (sfunc = int4pl, stype = int)',
      `comment on aggregate shop.total(int) is 'x'`,
      added('comment', 'aggregate shop.total(integer)'),
    ],
    ['a comment on a row type', '', `comment on type shop.pair is 'x'`, added('comment', 'type shop.pair')],
    ['a comment on a column of a row type', '', `comment on column shop.pair.a is 'x'`, added('comment', 'column shop.pair.a')],
    [
      'a comment on what a range brings',
      'create type shop.span as range (subtype = int)',
      `comment on type shop.span_multirange is 'x'`,
      added('comment', 'type shop.span_multirange'),
    ],
    [
      'a comment on a trigger',
      'create trigger t before update on shop.goods for each row execute function suppress_redundant_updates_trigger()',
      `comment on trigger t on shop.goods is 'x'`,
      added('comment', 'trigger t on shop.goods'),
    ],
    [
      'a comment on a rule',
      'create rule r as on insert to shop.goods do instead nothing',
      `comment on rule r on shop.goods is 'x'`,
      added('comment', 'rule r on shop.goods'),
    ],
    [
      'a partition',
      `create table shop.days (day date) partition by range (day)`,
      `create table shop.day partition of shop.days for values from ('2026-01-01') to ('2026-02-01')`,
      added('table', 'shop.day'),
    ],
    ['a unique constraint', '', 'alter table shop.goods add constraint once unique (name)', added('constraint', 'shop.goods.once')],
    ['a domain', '', 'create domain shop.short as text collate "C" not null check (length(value) < 5)', added('domain', 'shop.short')],
    ['an enum', `create type shop.mood as enum ('sad')`, `alter type shop.mood rename value 'sad' to 'low'`, changed('enum', 'shop.mood')],
    ['a range, with what it brings', '', 'create type shop.span as range (subtype = int)', added('range', 'shop.span')],
    [
      'an aggregate',
      'create aggregate shop.total (int) (sfunc = int4pl, stype = int)',
      `create or replace aggregate shop.total (int) (sfunc = int4pl, stype = int, initcond = '1')`,
      changed('aggregate', 'shop.total(integer)'),
    ],
    ['an operator', '', 'create operator shop.=== (leftarg = int, rightarg = int, function = shop.same)', added('operator', 'shop.===(integer, integer)')],
    ['a cast', '', 'create cast (int as shop.pair) with function shop.to_pair(int) as assignment', added('cast', 'integer as shop.pair')],
    ['a collation', '', `create collation shop.other (provider = libc, locale = 'C')`, added('collation', 'shop.other')],
    [
      'a text search configuration',
      'create text search configuration shop.words (copy = simple)',
      'alter text search configuration shop.words drop mapping for url',
      changed('text search configuration', 'shop.words'),
    ],
    [
      'a text search dictionary',
      '',
      `create text search dictionary shop.plain (template = simple, stopwords = english)`,
      added('text search dictionary', 'shop.plain'),
    ],
    ['a conversion', '', `create conversion shop.odd for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8`, added('conversion', 'shop.odd')],
    [
      'default privileges',
      '',
      `alter default privileges in schema shop grant select on tables to ${role}`,
      [
        {
          change: 'added',
          kind: 'default privileges',
          identity: expect.stringMatching(/^of \S+ for tables in shop$/),
          before: null,
          after: `rights: ${role} select`,
        },
      ],
    ],
    [
      'a publication',
      '',
      'create publication news for table shop.goods',
      [...added('publication', 'news'), ...added('table of a publication', 'news: shop.goods')],
    ],
    ['what is published', 'create publication news for table shop.goods', 'alter publication news set (publish = $$insert$$)', changed('publication', 'news')],
    ['statistics', 'create statistics shop.pairs on a, b from shop.parts', 'alter statistics shop.pairs set statistics 7', changed('statistics', 'shop.pairs')],
    [
      'a rule that is off',
      'create rule quiet as on delete to shop.goods do instead nothing',
      'alter table shop.goods disable rule quiet',
      changed('rule', 'shop.goods.quiet'),
    ],
    ['a policy', 'create policy own on shop.goods using (id > 1)', `alter policy own on shop.goods to ${role}`, changed('policy', 'shop.goods.own')],
    [
      'a sequence',
      '',
      'create sequence shop.s as int increment -2 start -3 cache 5',
      [
        {
          change: 'added',
          kind: 'sequence',
          identity: 'shop.s',
          before: null,
          after: expect.stringMatching(/^owner \S+, integer, start -3, increment -2, from -2147483648, to -1, cache 5$/),
        },
      ],
    ],
    [
      'a sequence that goes with a view, of whose columns one has a default',
      'create view shop.halves as select a, b from shop.parts; alter view shop.halves alter b set default 4',
      'create sequence shop.s; alter sequence shop.s owned by shop.halves.a',
      [{ change: 'added', kind: 'sequence', identity: 'shop.s', before: null, after: expect.stringMatching(/^owner \S+, bigint$/) }],
    ],
  ])('%s', async (_, before, change, expected) => {
    expect(await changesOf(before, change)).toEqual(expected);
  });

  it.each([
    ['a comment on the schema public', '', `comment on schema public is 'x'`, 'comment', 'schema public'],
    ['an event trigger', '', 'create event trigger watch on ddl_command_end execute function shop.watch()', 'event trigger', 'watch'],
    [
      'an event trigger that is off',
      'create event trigger watch on ddl_command_end execute function shop.watch()',
      'alter event trigger watch disable',
      'event trigger',
      'watch',
    ],
    [
      'a foreign key that nobody enforces',
      'create table shop.uses (n int constraint f references shop.goods)',
      'alter table shop.uses disable trigger all',
      'constraint',
      'shop.uses.f',
    ],
    ['a foreign data wrapper', '', 'create foreign data wrapper far', 'foreign data wrapper', 'far'],
    ['a foreign server', 'create foreign data wrapper far', `create server there foreign data wrapper far`, 'foreign server', 'there'],
    [
      'a user mapping',
      'create foreign data wrapper far; create server there foreign data wrapper far',
      `create user mapping for public server there`,
      'user mapping',
      'public on server there',
    ],
    [
      'an operator class',
      '',
      'create operator class shop.odd for type int using btree as operator 1 <, operator 3 =, function 1 btint4cmp(int, int)',
      'operator class',
      'shop.odd using btree',
    ],
    ['a language', '', 'create language other handler plpgsql_call_handler', 'language', 'other'],
    [
      'a transform',
      '',
      'create transform for int language plpgsql (from sql with function prsd_lextype(internal))',
      'transform',
      'for integer language plpgsql',
    ],
    [
      'a base type',
      'create type shop.odd; create function shop.odd_in(cstring) returns shop.odd language internal immutable strict as $$int4in$$; create function shop.odd_out(shop.odd) returns cstring language internal immutable strict as $$int4out$$',
      'create type shop.odd (input = shop.odd_in, output = shop.odd_out, like = int)',
      'base type',
      'shop.odd',
    ],
  ])('%s, which takes a superuser', async (_, before, change, kind, identity) => {
    if (database.superuserUrl === null) return;
    expect(await changesOf(before, change, database.superuserUrl)).toContainEqual({
      change: expect.stringMatching(/^(added|changed)$/),
      kind,
      identity,
      before: before.includes('off') ? expect.anything() : expect.toSatisfy(() => true),
      after: expect.any(String),
    });
  });

  it('options that may hold a secret are named, and not shown', async ({ skip }) => {
    if (database.superuserUrl === null) return skip();
    const rows = await changesOf(
      'create foreign data wrapper far',
      `create server there foreign data wrapper far options (host 'h', api_key 'hush');
       create user mapping for public server there options (user 'u', password 'hush')`,
      database.superuserUrl,
    );
    expect(rows.map(({ identity, after }) => [identity, after])).toEqual([
      ['public on server there', ''],
      ['there', expect.stringContaining('options api_key (not shown), host=h')],
    ]);
  });
});

describe('nothing has changed', () => {
  it.each([
    [
      'when what goes without saying was said',
      '',
      `grant all on shop.goods to current_user; grant execute on function shop.same(int, int) to public; grant usage on type shop.pair to public`,
    ],
    [
      'when a right was given and taken',
      '',
      `grant select on shop.goods to ${role}; revoke select on shop.goods from ${role}; grant select (name) on shop.goods to ${role}; revoke select (name) on shop.goods from ${role}`,
    ],
    [
      'when options stand in another order',
      'alter table shop.goods set (fillfactor = 50, autovacuum_enabled = false)',
      'alter table shop.goods reset (fillfactor); alter table shop.goods set (fillfactor = 50)',
    ],
    ['when a column came and went', '', 'alter table shop.parts add gone int; alter table shop.parts drop gone'],
    [
      'when everything was made again, with other numbers and in another order',
      'create table shop.t (a int, gone int, b text default $$x$$ not null, primary key (b, a)); alter table shop.t drop gone; create index i on shop.t (b, a)',
      'drop table shop.t; create table shop.t (a int, b text default $$x$$ not null); create index i on shop.t (b, a); alter table shop.t add primary key (b, a)',
    ],
    ['when a table was written anew', '', 'insert into shop.goods values (1); alter table shop.goods alter id type int using id + 1; truncate shop.goods'],
  ])('%s', async (_, before, change) => {
    expect(await changesOf(before, change)).toEqual([]);
  });

  it('when a text holds the very characters that stand between objects in the one that is kept', async () => {
    await sql(
      database.url,
      `create function public.odd() returns text language plpgsql as e'begin return \\'\\x1e\\x1ftable\\x1fa\\x1fb\\x1e\\'; end'; comment on function public.odd() is e'${'\x1f'}a'`,
    );
    try {
      const rows = await sql(database.url, 'select kind, identity, definition from weft.snapshot()');
      expect(rows.filter(({ definition, identity }) => definition === null || /^(a|b)$/.test(identity))).toEqual([]);
      expect(rows.find(({ identity }) => identity === 'public.odd()').definition).toContain(String.raw`'\x1e\x1ftable\x1fa\x1fb\x1e'`);
    } finally {
      await sql(database.url, 'drop function public.odd()');
    }
  });
});
