/**
 * The bundle of the campaign, and the tables that are there before it: every kind of step, all four transaction rules, a condition, a check, files that commit half-way, a failure that is
 * tolerated; and locks that a rival can keep from it, since no statement waits long for one. Each effect can be counted: the journal has no key that would hide a second time, and a batch adds one to each row. No value comes from a
 * sequence: what a block that was rolled back took from one is gone, with any tool.
 */

const journal = (path: string, number = 1): string => `insert into public.journal values ('${path}', ${number});`;

const rows_count = 240;
const round_rows = 48;

/** So that the watcher has something to look at from the beginning. */
export const TABLES = `
create table public.journal (path text not null, number int not null);
create table public.orders (id int primary key, item int not null, walked int not null default 0, swept int not null default 0);
insert into public.orders (id, item) select i, i % 7 from generate_series(1, ${rows_count}) as i;
create table public.currency (code text primary key, name text not null);
create table public.rate (code text primary key, per numeric not null);
`;

/** Where the journal is written to: path, and which statement of it. */
export const MARKS: readonly (readonly [path: string, number: number])[] = [
  ...['schema/1.sql', 'schema/2.sql', 'schema/3.sql', 'steps/1.sql', 'steps/2.sql', 'steps/3.sql', 'elsewhere/1.sql'].map((path) => [path, 1] as const),
  ...['indexes/2.sql', 'mixed/1.sql', 'mixed/2.sql', 'nightly/1.sql', 'nightly/2.sql'].map((path) => [path, 1] as const),
  ['indexes/2.sql', 3],
  ['mixed/1.sql', 5],
  ['mixed/3.sql', 2],
];

export const BUNDLE: Readonly<Record<string, string>> = {
  'weft.yaml': `
name: chaos
parameters:
  place: { type: text, default: here }
phases:
  - name: schema
    transaction: single
    lock_timeout: 60ms
    steps:
      - run: schema/*.sql
      - { load: data/currencies.csv, into: public.currency, key: [code], mode: sync }
      - { load: data/rates.ndjson, into: public.rate, mode: insert }
      - { run: views/*.sql, repeat: on-change }
    checks: [checks/*.sql]
  - name: steps
    transaction: per-step
    lock_timeout: 60ms
    steps:
      - run: steps/*.sql
      - { run: elsewhere/1.sql, when: weft.parameter('place') <> 'here' }
  - name: indexes
    transaction: none
    lock_timeout: 60ms
    steps: [{ run: indexes/*.sql }]
  - name: mixed
    transaction: auto
    lock_timeout: 60ms
    steps: [{ run: mixed/*.sql }]
  - name: totals
    transaction: auto
    lock_timeout: 60ms
    steps:
      - { batch: batches/walk.sql, size: ${round_rows}, cursor: 0 }
      - { batch: batches/sweep.sql, size: ${round_rows} }
  - name: nightly
    transaction: per-step
    lock_timeout: 60ms
    on_error: continue
    steps: [{ run: nightly/*.sql }]
`,
  'schema/1.sql': `
${journal('schema/1.sql')}
alter table public.rate add foreign key (code) references public.currency deferrable initially deferred;
create table public.customer (id int primary key, name text not null);
create trigger touch before update on public.customer for each row execute function suppress_redundant_updates_trigger();
`,
  'schema/2.sql': `${journal('schema/2.sql')}
insert into public.customer (id, name) select i, 'customer ' || i from generate_series(1, 20) as i;
do $$ begin perform pg_sleep(0.005); end $$;
`,
  'schema/3.sql': `${journal('schema/3.sql')}
create table public.copied (id int, word text);
copy public.copied (id, word) from stdin;
1	one
2	two
\\.
`,
  'data/currencies.csv': 'code,name\nEUR,Euro\nCHF,"Franken, der"\nJPY,Yen\n',
  'data/rates.ndjson': '{"code":"EUR","per":1.5}\n{"code":"CHF","per":2}\n',
  'views/a.sql': 'create or replace view public.a as select count(*) from public.b;',
  'views/b.sql': 'create or replace view public.b as select item from public.orders;',
  'checks/orders.sql': 'select * from public.orders where item < 0;',
  'steps/1.sql': `${journal('steps/1.sql')} create function public.f() returns int language sql begin atomic select 1; end;`,
  'steps/2.sql': `${journal('steps/2.sql')} select pg_sleep(0.01); alter table public.orders add column note text default 'none';`,
  'steps/3.sql': `begin; ${journal('steps/3.sql')} create type public.mood as enum ('well'); commit;`,
  'elsewhere/1.sql': journal('elsewhere/1.sql'),
  'indexes/1.sql': 'create index concurrently orders_item on public.orders (item);',
  'indexes/2.sql': `${journal('indexes/2.sql', 1)}
create unique index concurrently if not exists copied_id on public.copied (id);
${journal('indexes/2.sql', 3)}`,
  'mixed/1.sql': `${journal('mixed/1.sql', 1)}
create table public.late (id int primary key, n int not null);
insert into public.late select i, i from generate_series(1, 50) as i;
create index concurrently late_n on public.late (n);
${journal('mixed/1.sql', 5)}`,
  'mixed/2.sql': journal('mixed/2.sql'),
  'mixed/3.sql': `drop index concurrently public.orders_item; ${journal('mixed/3.sql', 2)}`,
  'batches/walk.sql': `update public.orders set walked = walked + 1
where id in (select id from public.orders where id > :'cursor' order by id limit :size)
returning id as cursor`,
  'batches/sweep.sql': `update public.orders set swept = swept + 1
where id in (select id from public.orders where swept = 0 limit :size)`,
  'nightly/1.sql': `${journal('nightly/1.sql')} select 1 / 0;`,
  'nightly/2.sql': journal('nightly/2.sql'),
};

/** Together with a comment that makes it large, another one in each. */
const large_files = ['schema/4.sql', 'schema/5.sql', 'schema/6.sql'];
const large_characters = 900_000;

export const LARGE_MARKS: typeof MARKS = [...MARKS, ...large_files.map((path) => [path, 1] as const)];

export const LARGE_BUNDLE: typeof BUNDLE = {
  ...BUNDLE,
  ...Object.fromEntries(large_files.map((path) => [path, `${journal(path)}\n-- ${path.repeat(large_characters / path.length)}\n`])),
};
