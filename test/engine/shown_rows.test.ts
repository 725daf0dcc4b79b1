/** The row that an error is about is shown as it stands in its file: rows behind a COPY, and rows of data files. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { failLoad } from './loading.ts';
import { failFiles } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table goods (id int primary key, name text, price numeric check (price > 0)); insert into goods values (7)');
});

afterEach(() => database.drop());

describe('a row behind a COPY', () => {
  const fail = (rows: string, options = '') => failFiles(database.url, { '1.sql': `select 1;\n\ncopy goods from stdin ${options};\n${rows}\\.\n` });

  it.each([
    ['that holds no value', '1\ta\t3\n2\tb\tfour\n', '', { line: 5, character: 5, caret: 5, excerpt: '2\tb\tfour', column: 'price' }],
    ['that a constraint refuses', '1\ta\t3\n2\tb\t-4\n', '', { line: 5, excerpt: '2\tb\t-4' }],
    ['whose key is there', '7\ta\t3\n', '', { line: 4, excerpt: '7\ta\t3' }],
    ['with fields too few', '1\ta\t3\n2\tb\n', '', { line: 5, excerpt: '2\tb' }],
    ['with escapes, as they are written', '2\ta\\tb\\\\\t-4\n', '', { line: 4, excerpt: '2\ta\\tb\\\\\t-4' }],
    ['in CRLF', '1\ta\t3\r\n2\tb\t-4\r\n', '', { line: 5, excerpt: '2\tb\t-4' }],
    ['of CSV, behind a field of two lines', '1,"a\nb",3\n2,b,four\n', '(format csv)', { line: 6, character: 5, caret: 5, excerpt: '2,b,four' }],
    ['of CSV with quotes, without a mark', '2,"b, c",four\n', '(format csv)', { line: 4, excerpt: '2,"b, c",four' }],
  ] as const)('%s', async (_, rows, options, place) => {
    const error = await fail(rows, options);
    expect(error).toMatchObject({ statement: expect.stringMatching(/^copy goods/), statement_line: 3, ...place });
  });

  it('that is long is cut around the mark', async () => {
    const { excerpt, caret, character } = await fail(`2\t${'x'.repeat(1000)}\tfour\n`);
    expect(character).toBe(1004);
    expect([...(excerpt ?? '')].slice((caret ?? 0) - 1).join('')).toBe('four');
    expect(excerpt?.length).toBeLessThanOrEqual(160);
  });

  it('of a file of many chunks, also where a chunk ends in it', async () => {
    const wide = 'x'.repeat(99);
    const rows = Array.from({ length: 40_000 }, (_, n) => `${n + 10}\t${wide}é\t${n === 31_234 ? 'four' : 1}\n`);
    expect(await fail(rows.join(''))).toMatchObject({ line: 4 + 31_234, excerpt: expect.stringMatching(/^31244\tx+é\tfour$/) });
  });

  it('with a secret in it is shown without it', async () => {
    const secret = randomBytes(20).toString('hex');
    const end = await deployFiles(
      connectOver(database.url),
      {
        'weft.yaml': JSON.stringify({
          name: 'b',
          parameters: { token: { type: 'text', secret: true } },
          phases: [{ name: 'main', steps: [{ run: '1.sql' }] }],
        }),
        '1.sql': `copy goods from stdin;\n2\t${secret}\tfour\n\\.\n`,
      },
      { secrets: { token: secret } },
    );
    expect(end.error).toMatchObject({ excerpt: '2\t***\tfour', line: 2 });
    expect(end.error?.caret).toBeUndefined();
    expect(JSON.stringify(end)).not.toContain(secret);
  });
});

it('is not marked where quotes make more of it than a matter of counting', async () => {
  const error = await failFiles(database.url, { '1.sql': 'copy goods from stdin (format csv);\n2,"b, c",four\n\\.\n' });
  expect([error.excerpt, error.caret, error.character]).toEqual(['2,"b, c",four', undefined, undefined]);
});

describe('a row of a data file', () => {
  it.each([
    ['that holds no value', 'data.csv', 'id,name,price\n1,a,3\n2,b,four\n', { line: 3, character: 5, caret: 5, excerpt: '2,b,four', column: 'price' }],
    ['that a constraint refuses', 'data.csv', 'id,name,price\n1,a,3\n2,b,-4\n', { line: 3, excerpt: '2,b,-4' }],
    ['with fields too few', 'data.csv', 'id,name,price\n1,a,3\n2,b\n', { line: 3, excerpt: '2,b' }],
    ['whose key is there twice', 'data.csv', 'id,name,price\n1,a,3\n1,b,3\n', { line: 3, excerpt: '1,b,3' }],
    ['behind one of two lines', 'data.csv', 'id,name,price\n1,"a\nb",3\n2,b,four\n', { line: 4, excerpt: '2,b,four' }],
    ['an object in a line', 'data.ndjson', '{"id": 1}\n{"id": 2, "price": "four"}\n', { line: 2, excerpt: '{"id": 2, "price": "four"}' }],
    ['an object of an array, on one line', 'data.json', '[{"id": 1},\n {"id": 2,\n  "price": "four"}]', { excerpt: '{"id": 2, "price": "four"}' }],
  ] as const)('%s', async (_, path, content, place) => {
    expect(await failLoad(database, { into: 'goods', path, mode: 'upsert', key: ['id'] }, content)).toMatchObject({ path, ...place });
  });
});
