/**
 * Reference data: what a load does to its table, row by row. How files are read is in loads_csv.test.ts and loads_json.test.ts, what
 * is refused in loads_refused.test.ts, what stands around a load in loads_around.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { failLoad, passLoad, tableOf } from './loading.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create schema shop;
     create table shop.currency (code text primary key, name text not null, digits int not null default 2, symbol text);`,
  );
});

afterEach(() => database.drop());

const run = (statements: string) => sql(database.url, statements);
const currencies = () => tableOf(database, 'select code, name, digits, symbol from shop.currency order by code');

const FILE = 'code,name,digits,symbol\nEUR,Euro,2,€\nJPY,Yen,0,¥\nXAU,Gold,0,\n';
const SYNC = { into: 'shop.currency', mode: 'sync', key: ['code'] };

describe.each(['single', 'per-step', 'auto', 'none'])('transaction: %s', (transaction) => {
  it('insert puts the rows in, upsert and sync bring them up to date, and each says how many', async () => {
    expect(await passLoad(database, { into: 'shop.currency' }, FILE, { transaction })).toEqual([3, 0, 0, 0]);
    expect(await currencies()).toEqual([
      ['EUR', 'Euro', 2, '€'],
      ['JPY', 'Yen', 0, '¥'],
      ['XAU', 'Gold', 0, null],
    ]);
    const second = 'code,name\nEUR,Euro\nJPY,Japanese yen\nUSD,Dollar\n';
    expect(await passLoad(database, { into: 'shop.currency', mode: 'upsert', key: ['code'] }, second, { transaction })).toEqual([1, 1, 0, 1]);
    expect(await currencies()).toEqual([
      ['EUR', 'Euro', 2, '€'],
      ['JPY', 'Japanese yen', 0, '¥'],
      ['USD', 'Dollar', 2, null],
      ['XAU', 'Gold', 0, null],
    ]);
    expect(await passLoad(database, SYNC, second, { transaction })).toEqual([0, 0, 1, 3]);
    expect(await currencies()).toHaveLength(3);
  });
});

describe.each(['upsert', 'sync'])('mode: %s', (mode) => {
  const words = { into: 'shop.currency', mode, key: ['code'] };

  it('touches no row that is equal: no trigger fires for it, and its version stays', async () => {
    await passLoad(database, { into: 'shop.currency' }, FILE);
    await run(`create table touched (code text);
      create function touch() returns trigger language plpgsql as $$ begin insert into public.touched values (new.code); return new; end $$;
      create trigger touch before insert or update on shop.currency for each row execute function touch();`);
    const versions = () => tableOf(database, 'select code, xmin::text, xmax::text, ctid::text from shop.currency order by code');
    const before = await versions();
    expect(await passLoad(database, words, FILE.replace('Yen', 'Japanese yen'))).toEqual([0, 1, 0, 2]);
    const after = await versions();
    expect(after.filter(([code]) => code !== 'JPY')).toEqual(before.filter(([code]) => code !== 'JPY'));
    expect(await tableOf(database, 'select code from touched')).toEqual([['JPY']]);
  });

  it('goes by what is stored, and not by what an operator calls equal', async () => {
    await run(`create table shop.fine (id int primary key, amount numeric, note json, where_to point);
      insert into shop.fine values (1, 1.0, '{"a": 1}', '(1,2)'), (2, 1.00, '{"a":1}', '(1,2)'), (3, null, null, null)`);
    const file = 'id,amount,note,where_to\n1,1.00,"{""a"":1}","(1,2)"\n2,1.00,"{""a"":1}","(1,2)"\n3,,,\n';
    expect(await passLoad(database, { into: 'shop.fine', mode, key: ['id'] }, file)).toEqual([0, 1, 0, 2]);
    expect(await tableOf(database, 'select amount::text, note::text from shop.fine where id = 1')).toEqual([['1.00', '{"a":1}']]);
  });

  it.each([
    ['numeric', 'numeric', '1.0', '1.00'],
    ['interval', 'interval', '1 day', '24:00:00'],
    ['a text that disregards case', 'text collate shop.any_case', 'usd', 'USD'],
    ['citext', 'shop.citext', 'usd', 'USD'],
    ['an array of numeric', 'numeric[]', '{1.0}', '{1.00}'],
  ])(
    'brings a key of %s in line that is equal and not the same, also in a file of nothing else, and what refers to it goes along',
    async (_, type, there, wanted) => {
      await run(`create collation shop.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`);
      if (type === 'shop.citext') await run('create extension citext schema shop');
      await run(`create table shop.keyed (k ${type} primary key, v text);
      create table shop.use (k ${type} references shop.keyed on update cascade);
      insert into shop.keyed values ('${there}', 'a'); insert into shop.use values ('${there}')`);
      const keyed = { into: 'shop.keyed', mode, key: ['k'] };
      expect(await passLoad(database, keyed, `k,v\n"${wanted}",a\n`)).toEqual([0, 1, 0, 0]);
      expect(await tableOf(database, 'select k::text, v from shop.keyed union all select k::text, null from shop.use')).toEqual([
        [wanted, 'a'],
        [wanted, null],
      ]);
      expect(await passLoad(database, keyed, `k\n"${wanted}"\n`)).toEqual([0, 0, 0, 1]);
      expect(await passLoad(database, keyed, `k\n"${there}"\n`)).toEqual([0, 1, 0, 0]);
      expect(await tableOf(database, 'select k::text, v from shop.keyed')).toEqual([[there, 'a']]);
    },
  );

  it.each(['int', 'text', 'varchar(3)', 'uuid', 'shop.kind', 'shop.short'])(
    'leaves a key of %s out of the update: what is equal there is the same',
    async (type) => {
      await run(`create type shop.kind as enum ('1', '2'); create domain shop.short as varchar(5); create table shop.keyed (k ${type} primary key, v text);
      create table shop.moved (k text);
      create function note() returns trigger language plpgsql as $$ begin insert into shop.moved values (new.k); return new; end $$;
      create trigger note before update of k on shop.keyed for each row execute function note()`);
      const [one, two] = type === 'uuid' ? ['00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002'] : ['1', '2'];
      const keyed = { into: 'shop.keyed', mode, key: ['k'] };
      expect(await passLoad(database, keyed, `k,v\n${one},a\n`)).toEqual([1, 0, 0, 0]);
      expect(await passLoad(database, keyed, `k,v\n${one},b\n${two},b\n`)).toEqual([1, 1, 0, 0]);
      expect(await tableOf(database, 'select * from shop.moved')).toEqual([]);
    },
  );

  it('needs no index on the key, and takes several columns and columns of any type as one', async () => {
    await run(`create type shop.kind as enum ('a', 'b'); create domain shop.day as date;
      create table shop.price (kind shop.kind, day shop.day, tags text[], price numeric(10, 2));
      insert into shop.price values ('a', '2024-01-01', '{x}', 1), ('b', '2024-01-01', '{x}', 1)`);
    const file = 'day,kind,tags,price\n2024-01-01,a,{x},2\n2024-01-01,b,"{x,y}",3\n';
    expect(await passLoad(database, { into: 'shop.price', mode, key: ['kind', 'day', 'tags'] }, file)).toEqual([1, 1, mode === 'sync' ? 1 : 0, 0]);
    expect(await tableOf(database, 'select kind, tags::text, price::text from shop.price order by price')).toEqual([
      ...(mode === 'sync' ? [] : [['b', '{x}', '1.00']]),
      ['a', '{x}', '2.00'],
      ['b', '{x,y}', '3.00'],
    ]);
  });

  it('that trades values of another unique column between rows is told the way, and takes it', async () => {
    await run('alter table shop.currency add constraint once unique (name)');
    await passLoad(database, { into: 'shop.currency' }, FILE);
    const traded = 'code,name,digits,symbol\nEUR,Yen,2,€\nJPY,Euro,0,¥\nXAU,Gold,0,\n';
    const refused = await failLoad(database, words, traded);
    expect(refused).toMatchObject({ sqlstate: '23505', constraint: 'once', hint: expect.stringContaining('deferrable') });
    await run('alter table shop.currency drop constraint once, add constraint once unique (name) deferrable');
    expect(await passLoad(database, words, traded)).toEqual([0, 2, 0, 1]);
  });

  it('with nothing but the key in the file inserts, and updates nothing', async () => {
    await run(`insert into shop.currency values ('EUR', 'Euro')`);
    await run(`alter table shop.currency alter name set default 'unknown'`);
    expect(await passLoad(database, words, 'code\nEUR\nUSD\n')).toEqual([1, 0, 0, 1]);
    expect(await currencies()).toEqual([
      ['EUR', 'Euro', 2, null],
      ['USD', 'unknown', 2, null],
    ]);
  });

  it('lets others read and refer meanwhile, and waits for whoever writes', async () => {
    await passLoad(database, { into: 'shop.currency' }, FILE);
    const writer = await database.client();
    await writer.query(`begin; insert into shop.currency values ('USD', 'Dollar')`);
    const loading = passLoad(database, words, 'code,name\nUSD,US dollar\n', { lock_timeout: '30s' });
    await expect.poll(async () => (await run(`select from pg_locks where not granted and mode = 'ShareRowExclusiveLock'`)).length, { timeout: 20_000 }).toBe(1);
    await writer.query('commit');
    await writer.end();
    expect((await loading).slice(0, 2)).toEqual([0, 1]);
  });
});

describe('mode: sync', () => {
  it('deletes all rows for a file that says there is none', async () => {
    await passLoad(database, { into: 'shop.currency' }, FILE);
    expect(await passLoad(database, SYNC, 'code,name\n')).toEqual([0, 0, 3, 0]);
    await passLoad(database, { into: 'shop.currency' }, FILE);
    expect(await passLoad(database, { ...SYNC, path: 'none.json' }, ' [ ] ')).toEqual([0, 0, 3, 0]);
  });

  it('deletes no more than "where" allows', async () => {
    await passLoad(database, { into: 'shop.currency' }, FILE);
    expect(await passLoad(database, { ...SYNC, where: `currency.code like 'X%' -- metals` }, 'code,name\nXAG,Silver\n')).toEqual([1, 0, 1, 0]);
    expect((await currencies()).map(([code]) => code)).toEqual(['EUR', 'JPY', 'XAG']);
  });

  it('makes room before it fills it: what goes is not in the way of what comes', async () => {
    await run('create unique index on shop.currency (name)');
    await passLoad(database, { into: 'shop.currency' }, FILE);
    expect(await passLoad(database, SYNC, 'code,name\nEUR,Gold\nNEW,Euro\nYEN,Yen\n')).toEqual([2, 1, 2, 0]);
  });

  it('takes a tree that refers to itself in whatever order, and another one over it', async () => {
    await run('create table shop.category (id int primary key, parent int references shop.category, name text)');
    const words = { into: 'shop.category', mode: 'sync', key: ['id'] };
    expect(await passLoad(database, words, 'id,parent,name\n3,2,c\n2,1,b\n1,,a\n')).toEqual([3, 0, 0, 0]);
    expect(await passLoad(database, words, 'id,parent,name\n3,9,c\n9,1,z\n1,,a\n')).toEqual([1, 1, 1, 1]);
    expect(await tableOf(database, 'select id, parent from shop.category order by id')).toEqual([
      [1, null],
      [3, 9],
      [9, 1],
    ]);
  });

  it('lets foreign keys of others act as for any delete', async () => {
    await passLoad(database, { into: 'shop.currency' }, FILE);
    await run(
      `create table shop.account (id int, currency text references shop.currency on delete cascade); insert into shop.account values (1, 'XAU'), (2, 'EUR')`,
    );
    expect(await passLoad(database, SYNC, 'code,name\nEUR,Euro\n')).toEqual([0, 0, 2, 1]);
    expect(await tableOf(database, 'select id from shop.account')).toEqual([[2]]);
  });
});

describe('columns', () => {
  it('that the file does not give take their defaults', async () => {
    await run(`create sequence shop.numbers; create domain shop.grade as text default 'new';
      create table shop.item (id int default nextval('shop.numbers') primary key, made timestamptz default now(), grade shop.grade, name text)`);
    await passLoad(database, { into: 'shop.item' }, 'name\na\nb\n');
    expect(await tableOf(database, 'select id, made is not null, grade, name from shop.item order by id')).toEqual([
      [1, true, 'new', 'a'],
      [2, true, 'new', 'b'],
    ]);
  });

  it('of an identity are given by the server, and by the file where it has them', async () => {
    await run('create table shop.item (id int generated always as identity primary key, name text)');
    await passLoad(database, { into: 'shop.item' }, 'name\na\n');
    await passLoad(database, { into: 'shop.item' }, 'id,name\n40,b\n');
    expect(await passLoad(database, { into: 'shop.item', mode: 'sync', key: ['id'] }, 'name,id\nc,40\nd,41\n')).toEqual([1, 1, 1, 0]);
    expect(await tableOf(database, 'select id, name from shop.item order by id')).toEqual([
      [40, 'c'],
      [41, 'd'],
    ]);
  });

  it('that are generated are the server’s', async () => {
    await run('create table shop.item (a int, twice int generated always as (a * 2) stored)');
    await passLoad(database, { into: 'shop.item' }, 'a\n21\n');
    expect(await tableOf(database, 'select twice from shop.item')).toEqual([[42]]);
  });

  it('are read as their types, lengths and scales too, and called what they like', async () => {
    await run(
      `create table shop."Odd ""one""" ("Full Name" varchar(5), "select" char(4), "t.x" numeric(6, 2), "%s" bytea, "_weft_file" interval, at timestamptz, many int[])`,
    );
    const file = String.raw`Full Name,select,t.x,%s,_weft_file,at,many
abc  ,x,1234.567,\x00ff,1 day 02:00,2024-05-06 07:08:09+02,"{1,NULL,3}"
`;
    await passLoad(database, { into: 'shop."Odd ""one"""' }, file, { settings: { timezone: 'UTC' } });
    const [row] = await tableOf(database, `set timezone to 'UTC'; select t::text from shop."Odd ""one""" as t`);
    expect(row).toEqual([String.raw`("abc  ","x   ",1234.57,"\\x00ff","1 day 02:00:00","2024-05-06 05:08:09+00","{1,NULL,3}")`]);
  });
});

describe('a large file', () => {
  it.each(['insert', 'upsert', 'sync'])('of several chunks goes in whole, whatever they cut through: %s', async (mode) => {
    const lines = Array.from({ length: 40_000 }, (_, n) => `${n},"line ${n}\nthe ""second"" – ${'ü'.repeat(n % 40)}",${n % 3 === 0 ? '' : n}`);
    await run('create table shop.big (n int primary key, note text, m int)');
    await run('insert into shop.big values (-1)');
    const words = { into: 'shop.big', mode, ...(mode === 'insert' ? {} : { key: ['n'] }) };
    expect(await passLoad(database, words, `n,note,m\n${lines.join('\n')}`)).toEqual([40_000, 0, mode === 'sync' ? 1 : 0, 0]);
    const wrong = `select count(*)::int from shop.big where n >= 0 and
      (note is distinct from format(E'line %s\\nthe "second" – %s', n, repeat('ü', n % 40)) or m is distinct from case when n % 3 = 0 then null else n end)`;
    expect(await tableOf(database, wrong)).toEqual([[0]]);
  });

  it('straight into an empty table, and over the rows that are there, comes to the same', async () => {
    await run('create table shop.big (n int primary key, note text)');
    const words = { into: 'shop.big', mode: 'sync', key: ['n'] };
    const lines = Array.from({ length: 60_000 }, (_, n) => `${n},note of number ${n} that takes some room`);
    expect(await passLoad(database, words, `n,note\n${lines.join('\r\n')}\r\n`)).toEqual([60_000, 0, 0, 0]);
    const changed = lines.map((line, n) => (n % 10_000 === 0 ? `${line}!` : line)).slice(1);
    expect(await passLoad(database, words, `n,note\n${changed.join('\n')}\n`)).toEqual([0, 5, 1, 59_994]);
  });
});
