/**
 * What of a data file is refused: with the path, the line of the file and the column, in the server's own words, and nothing of the
 * load in the database.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { dropDatabase, freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { failLoad, load, passLoad, tableOf, type Words } from './loading.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create schema shop;
     create table shop.item (id int primary key, name varchar(5) not null, price numeric(6, 2) check (price >= 0), made date, twice int generated always as (id * 2) stored);
     create table shop.counted (n int generated always as identity, code text, name text);
     create table shop.tree (id int primary key, parent int references shop.tree);
     create table shop.part (item int references shop.item);
     create view shop.items as select id, name from shop.item;
     create table shop.watched (id int primary key, name text);
     create function shop.watch() returns trigger language plpgsql as $$ begin if new.name = 'bad' then raise exception 'no bad names'; end if; return new; end $$;
     create trigger watch before insert or update on shop.watched for each row execute function shop.watch();`,
  );
});

afterAll(() => database.drop());

const ITEM = { into: 'shop.item' };
const KEYED = { into: 'shop.item', mode: 'upsert', key: ['id'] };
const many = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => `${from + n},name,1,2024-01-01\n`).join('');
const HEAD = 'id,name,price,made\n';

type Case = readonly [what: string, words: Words, file: string, expected: Readonly<Record<string, unknown>>];

const VALUES: readonly Case[] = [
  [
    'a value that is none of its type',
    ITEM,
    `${HEAD}1,a,1,\n2,b,cheap,\n`,
    {
      sqlstate: 'WF030',
      line: 3,
      column: 'price',
      message: 'Line 3, column price: invalid input syntax for type numeric: "cheap"',
      detail: expect.stringContaining('22P02'),
    },
  ],
  [
    'a value that is out of range',
    ITEM,
    `${HEAD}1,a,123456,\n`,
    { sqlstate: 'WF030', line: 2, column: 'price', message: expect.stringContaining('numeric field overflow') },
  ],
  [
    'a text that is too long',
    ITEM,
    `${HEAD}1,a,1,\n2,abcdef,1,\n`,
    { sqlstate: 'WF030', line: 3, column: 'name', message: expect.stringContaining('too long for type character varying(5)') },
  ],
  [
    'a day that there is not, behind a field with line ends',
    { into: 'shop.item' },
    `${HEAD}1,"a\nb\nc",1,\n2,"d,e",1,2024-02-30\n`,
    { sqlstate: 'WF030', line: 5, column: 'made' },
  ],
  [
    'one bad value deep in a large file',
    ITEM,
    `${HEAD}${many(1, 60_000)}60001,b,x,\n${many(60_002, 90_000)}`,
    { sqlstate: 'WF030', line: 60_002, column: 'price' },
  ],
  [
    'one bad value deep in a large file, by key',
    KEYED,
    `${HEAD}${many(1, 60_000)}60001,b,x,\n${many(60_002, 90_000)}`,
    { sqlstate: 'WF030', line: 60_002, column: 'price' },
  ],
  [
    'a bad value of a JSON array',
    { ...ITEM, path: 'i.json' },
    '[{"id": 1, "name": "a"}, {"id": 2, "name": "b", "price": "cheap"}]',
    { sqlstate: 'WF030', column: 'price', message: expect.stringMatching(/^Object 2, column price: invalid input syntax/) },
  ],
  [
    'a bad value of an object in a line',
    { ...ITEM, path: 'i.ndjson' },
    '{"id": 1, "name": "a"}\n\n{"id": "x", "name": "b"}',
    { sqlstate: 'WF030', line: 3, column: 'id' },
  ],
];

/** What JSON itself lets stand, and no text of the server's can hold. */
const STRINGS: readonly Case[] = (
  [
    ['NUL', '"\\u0000"', '22P05'],
    ['half a character', '"x\\ud83dy"', '22P02'],
    ['the other half', '"\\\\ \\\\u0041 \\udc00"', '22P02'],
    ['NUL deep in a list', '[{"\\u00e9": "\\u0000"}]', '22P05'],
  ] as const
).flatMap(([what, value, state]) => [
  [
    `${what} in a line of objects`,
    { into: 'shop.watched', path: 'i.ndjson' },
    `${Array.from({ length: 1500 }, (_, n) => `{"id": ${n}, "name": "\\u00e4 \\\\u0000 \\ud83d\\ude00"}\n`).join('')}{"id": 1500, "name": ${value}}\n{"id": 1501}\n`,
    { sqlstate: 'WF030', line: 1501, column: 'name', message: expect.stringMatching(/^Line 1501, column name: /), detail: expect.stringContaining(state) },
  ],
  [
    `${what} in an array`,
    { into: 'shop.watched', path: 'i.json' },
    `[{"id": 1, "name": "\\\\u0000"}, {"name": ${value}, "id": 2}]`,
    { sqlstate: 'WF030', column: 'name', message: expect.stringMatching(/^Object 2, column name: /), detail: expect.stringContaining(state) },
  ],
]);

const ROWS: readonly Case[] = [
  [
    'NULL where there must be something',
    ITEM,
    `${HEAD}1,a,1,\n2,,1,\n`,
    { sqlstate: '23502', line: 3, column: 'name', message: expect.stringMatching(/^Line 3: null value in column "name"/) },
  ],
  ['a row that breaks a check', KEYED, `${HEAD}1,a,1,\n2,b,-1,\n`, { sqlstate: '23514', line: 3, constraint: 'item_price_check' }],
  [
    'a key that is there twice, without a word on keys',
    ITEM,
    `${HEAD}1,a,1,\n2,b,1,\n1,c,1,\n`,
    { sqlstate: '23505', line: 4, detail: expect.stringContaining('(id)=(1)') },
  ],
  ['a reference to nothing', { into: 'shop.part' }, 'item\n\n77\n', { sqlstate: '23503', line: 3 }],
  ['what a trigger refuses', { into: 'shop.watched' }, 'id,name\n1,good\n2,bad\n', { sqlstate: 'P0001', line: 3, message: 'Line 3: no bad names' }],
  ['a branch without its tree', { into: 'shop.tree' }, 'id,parent\n1,2\n', { sqlstate: '23503', detail: expect.stringContaining('(parent)=(2)') }],
];

const KEYS: readonly Case[] = [
  [
    'two rows with one key',
    KEYED,
    `${HEAD}1,a,1,\n2,b,1,\n1,c,1,\n`,
    { sqlstate: 'WF033', line: 4, message: 'Line 4: the key (id) is 1 there, as in line 2.' },
  ],
  [
    'more rows with one key',
    KEYED,
    `${HEAD}1,a,1,\n1,b,1,\n1,c,1,\n`,
    { sqlstate: 'WF033', line: 4, message: 'Line 4: the key (id) is 1 there, as in 2 other rows, the first of them in line 2.' },
  ],
  [
    'a row without a key',
    { into: 'shop.counted', mode: 'upsert', key: ['code'] },
    'code,name\na,1\n,2\n',
    { sqlstate: 'WF033', line: 3, message: 'Line 3: the key (code) is NULL.' },
  ],
  [
    'a key that the file does not give',
    KEYED,
    'name\na\n',
    { sqlstate: 'WF032', line: 1, excerpt: 'name', message: 'The file does not give id, and the rows are told apart by it (key).' },
  ],
];

const COLUMNS: readonly Case[] = [
  [
    'columns that the table has not',
    ITEM,
    'id,Name,prize\n',
    {
      sqlstate: 'WF032',
      line: 1,
      excerpt: 'id,Name,prize',
      message: 'shop.item has no column "Name", prize.',
      hint: expect.stringContaining('id, name, price, made'),
    },
  ],
  [
    'members that the table has not',
    { ...ITEM, path: 'i.json' },
    '[{"id": 1}, {"id": 2, "colour": 1}]',
    { sqlstate: 'WF032', message: 'shop.item has no column colour.' },
  ],
  ['a column twice', ITEM, 'id,name,id\n', { sqlstate: 'WF032', line: 1, message: 'The file gives id more than once.' }],
  ['a column without a name', ITEM, 'id,name,\n', { sqlstate: 'WF032', line: 1, message: 'Line 1: column 3 has no name.' }],
  ['a generated column', ITEM, 'id,twice\n', { sqlstate: 'WF032', line: 1, message: 'twice is generated, and the file gives values for it.' }],
  [
    'an identity that no update can set',
    { into: 'shop.counted', mode: 'upsert', key: ['code'] },
    'code,n\na,1\n',
    { sqlstate: 'WF032', message: expect.stringContaining('identity') },
  ],
  ['a table that there is not', { into: 'shop.nothing' }, 'id\n', { sqlstate: '42P01', message: 'There is no table shop.nothing (into).' }],
  ['a table of the engine', { into: 'weft._history' }, 'path\n', { sqlstate: 'WF034', message: expect.stringContaining('weft._history') }],
  ['a view, for a sync', { into: 'shop.items', mode: 'sync', key: ['id'] }, 'id,name\n', { sqlstate: 'WF034' }],
];

const TEXTS: readonly Case[] = [
  ['an empty file', ITEM, '', { sqlstate: 'WF031', message: expect.stringContaining('The file is empty') }],
  [
    'a record with too few fields',
    ITEM,
    `${HEAD}1,a,1,\n2,b\n`,
    { sqlstate: 'WF031', line: 3, message: 'Line 3: the record has 2 fields, and the file has 4 columns.' },
  ],
  [
    'a record with too many fields',
    ITEM,
    `${HEAD}1,a,1,,\n`,
    { sqlstate: 'WF031', line: 2, message: 'Line 2: the record has 5 fields, and the file has 4 columns.' },
  ],
  [
    'a quote in the middle of a field',
    ITEM,
    `${HEAD}1,a,1,\n2,5" x,1,\n`,
    { sqlstate: 'WF031', line: 3, message: 'Line 3: a quote stands in the middle of a field.' },
  ],
  ['a quote that is not doubled', ITEM, `${HEAD}1,"a"b",1,\n`, { sqlstate: 'WF031', line: 2 }],
  [
    'a quote that is not closed',
    ITEM,
    `${HEAD}1,a,1,\n2,"b,1,\n3,c,1,\n`,
    { sqlstate: 'WF031', line: 3, message: 'Line 3: a quoted field begins there and does not end.' },
  ],
  ['line ends of another age', ITEM, 'id,name\r1,a\r', { sqlstate: 'WF031', line: 1, message: expect.stringContaining('carriage return') }],
  ['an array that is not closed', { ...ITEM, path: 'i.json' }, '[{"id": 1}, {"id": 2}', { sqlstate: 'WF031', message: expect.stringContaining('not closed') }],
  ['an object where an array should be', { ...ITEM, path: 'i.json' }, '{"id": 1}', { sqlstate: 'WF031', hint: expect.stringContaining('ndjson') }],
  [
    'no JSON',
    { ...ITEM, path: 'i.json' },
    '[{"id": 1}, {"id": 2 "name": 1}]',
    { sqlstate: 'WF031', message: expect.stringContaining('invalid input syntax for type json') },
  ],
  ['no JSON in a line', { ...ITEM, path: 'i.ndjson' }, '{"id": 1}\n{"id": 2\n', { sqlstate: 'WF031', line: 2 }],
  ['something else than objects', { ...ITEM, path: 'i.json' }, '[{"id": 1}, 2]', { sqlstate: 'WF031', message: 'Object 2 is none: it is of type number.' }],
  [
    'a sync with nothing at all',
    { ...ITEM, mode: 'sync', key: ['id'], path: 'i.ndjson' },
    '\n',
    { sqlstate: 'WF031', message: expect.stringContaining('delete everything') },
  ],
  ...['', '\n\n', '\ufeff'].map(
    (text): Case => [
      `a sync with nothing at all, without a line that names the columns: ${JSON.stringify(text)}`,
      { ...ITEM, mode: 'sync', key: ['id'], columns: ['id', 'name'] },
      text,
      { sqlstate: 'WF031', message: expect.stringContaining('delete everything'), hint: expect.stringContaining('first line') },
    ],
  ),
  ['objects without members', { ...ITEM, path: 'i.json' }, '[{}, {}]', { sqlstate: 'WF032', message: 'No object of the file has a member.' }],
  ['objects without members, for an upsert', { ...KEYED, path: 'i.json' }, '[{}]', { sqlstate: 'WF032', message: 'No object of the file has a member.' }],
];

describe.each([
  ['a value', VALUES],
  ['a string', STRINGS],
  ['a row', ROWS],
  ['a key', KEYS],
  ['a column', COLUMNS],
  ['a text', TEXTS],
])('for %s', (_, cases) => {
  it.each(cases)('%s', async (_what, words, file, expected) => {
    expect(await failLoad(database, words, file)).toMatchObject({ phase: 'main', path: words.path ?? 'data.csv', ...expected });
    expect(await tableOf(database, 'select count(*)::int from shop.item')).toEqual([[0]]);
  });
});

it('a column of weft.yaml is in no line of the file', async () => {
  const error = await failLoad(database, { ...ITEM, columns: ['id', 'colour'] }, '1,red\n');
  expect(error).toMatchObject({ sqlstate: 'WF032', message: 'shop.item has no column colour.' });
  expect(error).not.toHaveProperty('line');
});

it('is shown with path, line and column, and the row', async () => {
  const summary = renderSummary(await load(database, ITEM, `${HEAD}1,a,1,\n2,b,cheap,\n`), UNCOLOURED);
  expect(summary).toContain('data.csv:3:5  in phase main\n  | 2,b,cheap,\n  |     ^\n');
  expect(summary).not.toContain('weft._');
  expect(summary).toContain('WF030: column price: invalid input syntax for type numeric: "cheap"');
});

it('takes back what else the file has brought, and the corrected one goes in', async () => {
  await passLoad(database, { into: 'shop.watched' }, 'id,name\n1,good\n');
  const words = { into: 'shop.watched', mode: 'sync', key: ['id'] };
  await failLoad(database, words, 'id,name\n2,fine\n3,bad\n');
  expect(await tableOf(database, 'select id from shop.watched')).toEqual([[1]]);
  expect(await passLoad(database, words, 'id,name\n2,fine\n3,better\n')).toEqual([2, 0, 1, 0]);
});

it('names the line of a character that the database’s encoding lacks', async () => {
  const name = `${database.name}_latin1`;
  await sql(database.url, `create database ${name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`);
  const url = new URL(database.url);
  url.pathname = `/${name}`;
  try {
    await sql(url.href, 'create table item (id int, name text)');
    const there = { ...database, url: url.href };
    expect(await failLoad(there, { into: 'item' }, 'id,name\n1,ä\n2,"a\nb"\n3,€\n4,c\n')).toMatchObject({
      sqlstate: '22P05',
      line: 5,
      hint: expect.stringContaining('LATIN1'),
    });
    expect(await passLoad(there, { into: 'item' }, 'id,name\n1,ä\n')).toEqual([1, 0, 0, 0]);
  } finally {
    await dropDatabase(database.url, name);
  }
});

describe('bytes that are no UTF-8, which another sender than ours may bring', () => {
  it.each([
    ['UTF-16', Buffer.from('\ufeffid,name\n1,a\n', 'utf16le'), 'UTF-16'],
    ['a spreadsheet', Buffer.from([0x50, 0x4b, 3, 4, 20, 0]), '.xlsx'],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0]), 'gzip'],
  ])('%s is refused by its name', async (_, bytes, name) => {
    await expect(sql(database.url, `select weft._refuse_encoding(substr($1::bytea, 1, 4))`, [bytes])).rejects.toMatchObject({
      code: 'WF035',
      message: expect.stringContaining(name),
    });
  });

  it('Latin-1 is refused with the line', async () => {
    const bytes = Buffer.from('id,name\n1,a\n2,M\xfcller\n', 'latin1');
    await sql(database.url, 'insert into weft._chunks values (sha256($1), $1)', [bytes]);
    await expect(sql(database.url, `select weft._read_part('csv', sha256($1), '', true, true, 0)`, [bytes])).rejects.toMatchObject({
      code: 'WF035',
      message: expect.stringMatching(/^Line 3: the file is not UTF-8 there/),
    });
  });
});

it('says what to do where rows of another table refer to one that a sync takes away, and nothing of it where a row of the file lacks its own', async () => {
  await sql(
    database.url,
    `create table land (iso text primary key); create table town (id int primary key, iso text references land); insert into land values ('DE'), ('FR'); insert into town values (1, 'FR')`,
  );
  expect(await failLoad(database, { into: 'land', mode: 'sync', key: ['iso'] }, 'iso\nDE\n')).toMatchObject({
    sqlstate: '23503',
    table: 'town',
    constraint: 'town_iso_fkey',
    detail: expect.stringContaining('(FR)'),
    hint: expect.stringMatching(
      /^The file lacks a row that rows of public\.town refer to\. .*in a step that stands before this one.*deferrable initially deferred.*on delete cascade/,
    ),
  });
  expect((await failLoad(database, { into: 'town', mode: 'sync', key: ['id'] }, 'id,iso\n1,IT\n')).hint ?? '').not.toContain('lacks a row');
});

describe('a key that several rows of the table have', () => {
  it.each(['sync', 'upsert'])('refuses %s with the line, the value and the table: which row it is, nobody knows', async (mode) => {
    await sql(
      database.url,
      `create table if not exists rules (a int, b text); truncate rules; insert into rules values (2, 'x'), (1, 'y'), (1, 'z'), (null, 'n'), (null, 'n')`,
    );
    expect(await failLoad(database, { into: 'rules', mode, key: ['a'] }, 'a,b\n2,q\n1,r\n')).toMatchObject({
      sqlstate: 'WF033',
      line: 3,
      message: 'Line 3: the key (a) is 1 there, and 2 rows of public.rules have it: which of them is this one, nobody knows.',
      hint: expect.stringContaining('name more columns in "key"'),
    });
    expect(await sql(database.url, 'select count(*)::int as n from rules')).toEqual([{ n: 5 }]);
    expect(await passLoad(database, { into: 'rules', mode, key: ['a', 'b'] }, 'a,b\n1,y\n')).toEqual([0, 0, mode === 'sync' ? 4 : 0, 1]);
  });

  it('is nothing to look for where a unique index keeps rows apart, by the key or by a part of it', async () => {
    await sql(
      database.url,
      `create table apart (a int, b int, c int, d int, primary key (a, b), unique (c)); create unique index on apart (d) where a > 0; create unique index on apart ((d + 1))`,
    );
    const kept = async (key: string) => (await sql(database.url, `select weft._keeps_apart('apart', '${key}') as kept`))[0].kept;
    expect(await Promise.all(['{a,b}', '{b,a,d}', '{c}', '{a,c}', '{a}', '{d}'].map(kept))).toEqual([true, true, true, true, false, false]);
  });
});
