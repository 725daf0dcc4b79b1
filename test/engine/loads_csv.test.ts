/**
 * CSV as RFC 4180 has it: how the text of a file becomes records, whatever stands in its fields and wherever chunks cut it. The records are
 * literals of a row type, so the server's own reader of rows is asked what it makes of them.
 */
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { passLoad, tableOf } from './loading.ts';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await freshDatabase();
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  client = await database.client();
  for (const width of [1, 2, 3, 4]) await client.query(`create type row_of_${width} as (${Array.from({ length: width }, (_, n) => `f${n} text`).join(', ')})`);
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

type Row = readonly (string | null)[];

interface Dialect {
  readonly delimiter: string;
  readonly nullAs: string;
  readonly lineEnd: string;
}

/** The records of a text, as the server reads the literals of them, and as the engine does. */
async function read(text: string, width: number, { delimiter, nullAs }: Pick<Dialect, 'delimiter' | 'nullAs'>): Promise<{ server: Row[]; engine: Row[] }> {
  const { rows } = await client.query(
    `select to_json(('(' || l.text || ')')::row_of_${width}) as record, weft._read_literal(l.text) as fields
     from weft._write_literals($1, $2, $3, 1) as w cross join lateral (
       select t.text, t.n from string_to_table(w.literals, w.separator) with ordinality as t (text, n) union all select '', 1 where w.literals = ''
     ) as l (text, n) order by l.n`,
    [text, delimiter, nullAs],
  );
  return { server: rows.map(({ record }) => Object.values(record)), engine: rows.map(({ fields }) => fields) };
}

const COMMON = { delimiter: ',', nullAs: '' };

describe('a field', () => {
  it.each<[string, string, Row[], Partial<Dialect>?]>([
    ['without quotes is what it is, blanks too', ' a ,b c', [[' a ', 'b c']]],
    ['may hold what rows and patterns of the server mean something by', String.raw`(a\b),%s{}[]'$1$`, [[String.raw`(a\b)`, "%s{}[]'$1$"]]],
    ['in quotes may hold the delimiter, line ends and doubled quotes', '"a,b","c\nd""e"""', [['a,b', 'c\nd"e"']]],
    [
      'in quotes keeps its line ends as they are',
      '"a\r\nb",c\r\nd,"e\rf"',
      [
        ['a\r\nb', 'c'],
        ['d', 'e\rf'],
      ],
    ],
    [
      'that is empty is NULL, and an empty text in quotes',
      'a,\n"",b\n,',
      [
        ['a', null],
        ['', 'b'],
        [null, null],
      ],
    ],
    [
      'that is the mark of NULL is NULL, and a text in quotes',
      '\\N,"\\N"\n,x',
      [
        [null, '\\N'],
        ['', 'x'],
      ],
      { nullAs: '\\N' },
    ],
  ])('%s', async (_, text, rows, dialect = {}) => {
    expect(await read(text, 2, { ...COMMON, ...dialect })).toEqual({ server: rows, engine: rows });
  });

  it.each([
    [
      ';',
      '',
      'a,b;"c;""d,"\n;""',
      [
        ['a,b', 'c;"d,'],
        [null, ''],
      ],
    ],
    [
      '\t',
      'NULL',
      'NULL\t"NULL"\na\tb, c',
      [
        [null, 'NULL'],
        ['a', 'b, c'],
      ],
    ],
    [
      '|',
      '(none)',
      '(none)|(a)\n"x\ny"|',
      [
        [null, '(a)'],
        ['x\ny', ''],
      ],
    ],
  ])('between delimiters %j, with NULL as %j', async (delimiter, nullAs, text, rows) => {
    expect(await read(text, 2, { delimiter, nullAs })).toEqual({ server: rows, engine: rows });
  });
});

/** Writes CSV, with quotes where they must be, and where `chance` wants them. */
function write(rows: readonly Row[], { delimiter, nullAs, lineEnd }: Dialect, isQuoted: (n: number) => boolean): string {
  let n = 0;
  return rows
    .map((row) =>
      row
        .map((field) => {
          n += 1;
          if (field === null) return nullAs;
          const must = field === nullAs || /["\r\n]/.test(field) || field.includes(delimiter);
          return must || isQuoted(n) ? `"${field.replaceAll('"', '""')}"` : field;
        })
        .join(delimiter),
    )
    .join(lineEnd);
}

const character = fc.constantFrom('a', 'b', ' ', ',', ';', '\t', '"', '"', '\n', '\r', '\\', '(', ')', '{', '%', 'N', '\u001e', 'é', '🦆');
const field = fc.oneof(fc.constant(null), fc.string({ unit: character, maxLength: 6 }), fc.constantFrom('', 'NULL', '\\N', '""', '\r\n'));
const dialect = fc.record({
  delimiter: fc.constantFrom(',', ',', ';', '\t', '|'),
  nullAs: fc.constantFrom('', '', 'NULL', '\\N', '()'),
  lineEnd: fc.constantFrom('\n', '\r\n'),
});
const table = fc
  .integer({ min: 1, max: 4 })
  .chain((width) =>
    fc.record({ width: fc.constant(width), rows: fc.array(fc.array(field, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 12 }) }),
  );

it('whatever the fields hold comes out as it went in, in every dialect', async () => {
  await fc.assert(
    fc.asyncProperty(table, dialect, fc.infiniteStream(fc.boolean()), async ({ width, rows }, how, quotes) => {
      const text = write(rows, how, () => quotes.next().value === true);
      fc.pre(text !== '');
      expect(await read(text, width, how), text).toEqual({ server: rows, engine: rows });
    }),
    { numRuns: 400 },
  );
});

it('wherever chunks cut it, the parts hold whole records, and nothing is lost between them', async () => {
  await fc.assert(
    fc.asyncProperty(
      table,
      dialect,
      fc.infiniteStream(fc.boolean()),
      fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 8 }),
      async ({ rows }, how, quotes, cuts) => {
        const bytes = Buffer.from(`${write(rows, how, () => quotes.next().value === true)}${how.lineEnd}`);
        const places = [...new Set(cuts.map((cut) => Math.min(cut * 3, bytes.length)))].sort((a, b) => a - b);
        const chunks = [0, ...places].map((from, n) => bytes.subarray(from, places[n] ?? bytes.length));
        const parts: string[] = [];
        let rest = Buffer.alloc(0);
        for (const [n, chunk] of chunks.entries()) {
          const isLast = n === chunks.length - 1;
          const {
            rows: [cut],
          } = await client.query('select * from weft._cut_records($1, $2, true)', [Buffer.concat([rest, chunk]), isLast]);
          if (cut.records !== null && !(isLast && cut.records === '' && parts.length > 0)) parts.push(cut.records);
          rest = cut.rest;
        }
        const whole = bytes.toString().slice(0, -how.lineEnd.length);
        expect(parts.join('\n').replaceAll('\r\n', '\n')).toBe(whole.replaceAll('\r\n', '\n'));
        for (const part of parts) expect(part.split('"').length % 2, part).toBe(1);
      },
    ),
    { numRuns: 150 },
  );
});

describe('a file', () => {
  const people = () => tableOf(database, 'select id, name from people order by id');

  it.each([
    ['with line feeds', 'id,name\n1,a\n2,b\n'],
    ['with CRLF', 'id,name\r\n1,a\r\n2,b\r\n'],
    ['whose last line has no end', 'id,name\n1,a\n2,b'],
    ['with a byte-order mark', '\ufeffid,name\n1,a\n2,b\n'],
    ['with empty lines', 'id,name\n\n1,a\n\n\n2,b\n\n'],
    ['whose columns stand in another order, in quotes', '"name","id"\n"a","1"\n"b","2"\n'],
  ])('%s', async (_, file) => {
    await sql(database.url, 'drop table if exists people; create table people (id int, name text)');
    expect(await passLoad(database, { into: 'people' }, file)).toEqual([2, 0, 0, 0]);
    expect(await people()).toEqual([
      [1, 'a'],
      [2, 'b'],
    ]);
  });

  it.each([
    ['whose first line is a row like the others', { columns: ['name', 'id'] }, 'a,1\nb,2\n'],
    ['with tabs', { path: 'people.tsv' }, 'id\tname\n1\ta\n2\tb\n'],
    ['with semicolons, called something', { path: 'people.txt', format: 'csv', delimiter: ';' }, 'id;name\n1;a\n2;b\n'],
    ['with a mark for NULL', { null_as: '-' }, 'id,name\n1,a\n2,b\n-,-\n'],
  ])('%s', async (_, words, file) => {
    await sql(database.url, 'drop table if exists people; create table people (id int, name text)');
    await passLoad(database, { into: 'people', ...words }, file);
    expect((await people()).slice(0, 2)).toEqual([
      [1, 'a'],
      [2, 'b'],
    ]);
    if ('null_as' in words) expect((await people())[2]).toEqual([null, null]);
  });

  it('of one column has no record in an empty line either; NULL there has a mark', async () => {
    await sql(database.url, 'drop table if exists people; create table people (id int, name text)');
    expect(await passLoad(database, { into: 'people' }, 'name\na\n\n"b"\n""\n')).toEqual([3, 0, 0, 0]);
    expect(await passLoad(database, { into: 'people', null_as: '-', columns: ['name'] }, '-\n')).toEqual([1, 0, 0, 0]);
    expect(await tableOf(database, 'select name from people order by name')).toEqual([[''], ['a'], ['b'], [null]]);
  });
});
