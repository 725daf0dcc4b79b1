/** Rows behind COPY in a file that runs statement by statement: with their COPY they are one statement. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, makeOrder, type OrderOptions } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const HEAD = 'create table t (a int primary key, b text);';
const COPY = 'copy t from stdin;\n1\tx; begin\n2\ty\\n1\n\\.';
const CSV = 'copy t (b, a) from stdin with (format csv);\n"a\n\\\\.b",4\n\\.';
const rows = () => sql(database.url, 'select a, b from t order by a');
const ROWS = [
  { a: 1, b: 'x; begin' },
  { a: 2, b: 'y\n1' },
];

describe.each(['auto', 'none'] as const)('transaction: %s', (transaction) => {
  const deployed = (content: string, options: OrderOptions = {}) => deployFiles(connectOver(database.url), { '1.sql': content }, { transaction, ...options });

  it('goes in, in text and in CSV, between statements that no transaction takes, and counts its rows', async () => {
    const end = await deployed(`${HEAD}\n${COPY}\nvacuum t;\ninsert into t values (3, null);\n${CSV}\n`);
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ statements: 5, rows: 4 }] }] });
    expect(await rows()).toEqual([...ROWS, { a: 3, b: null }, { a: 4, b: 'a\n\\\\.b' }]);
    expect(await sql(database.url, 'select statement_lines from weft._steps')).toEqual([{ statement_lines: [1, 1, 6, 6, 7] }]);
  });

  it('goes in over the ends of chunks and pieces, with many of them in a file', async () => {
    const lines = Array.from({ length: 60_000 }, (_, n) => `${n + 10}\tgröße ${'x'.repeat(n % 60)}`);
    const small = Array.from({ length: 40 }, (_, n) => `copy t from stdin;\n${-n - 1}\tsmall\n\\.\nselect 1;`).join('\n');
    const end = await deployed(`${HEAD}\n${small}\ncopy t from stdin;\n${lines.join('\n')}\n\\.\nvacuum t;\n${COPY}\nselect 2;\n`);
    expect(end).toMatchObject({ state: 'succeeded', error: null });
    expect(
      await sql(database.url, `select count(*)::int, count(*) filter (where a < 0)::int as small, max(a) as last, sum(length(b))::int as characters from t`),
    ).toEqual([
      { count: 60_042, small: 40, last: 60_009, characters: lines.reduce((sum, line) => sum + line.length - line.indexOf('\t') - 1, 0) + 40 * 5 + 11 },
    ]);
  });

  it('shares the transaction of its BEGIN, and is rolled back with it', async () => {
    const file = (last: string) => `${HEAD}\nvacuum t;\nbegin;\n${COPY}\n${last};\ncommit;\nselect 1;`;
    expect(await deployed(file('select 1/0'))).toMatchObject({ state: 'failed', error: { sqlstate: '22012', line: 8 } });
    expect(await rows()).toEqual([]);
    expect(await deployed(file('select 1/1'))).toMatchObject({ state: 'succeeded' });
    expect(await rows()).toEqual(ROWS);
  });

  it.each([
    ['a value of no type', '1\tx\ny\tz', { sqlstate: '22P02', line: 5, column: 'a' }],
    ['a field too few', '1\tx\n2', { sqlstate: '22P04', line: 5 }],
    ['a key that is there twice', '1\tx\n2\ty\n2\tz', { sqlstate: '23505', line: 6 }],
  ])('says path and line of %s, and goes on there once it was corrected', async (_, wrong, expected) => {
    const file = (data: string) => `${HEAD}\nvacuum t;\ncopy t from stdin;\n${data}\n\\.\nselect 1;`;
    expect(await deployed(file(wrong))).toMatchObject({ state: 'failed', error: { path: '1.sql', ...expected } });
    expect(await rows()).toEqual([]);
    expect(await deployed(file('1\tx'))).toMatchObject({ state: 'succeeded' });
    expect(await rows()).toEqual([{ a: 1, b: 'x' }]);
  });

  it('is not run twice behind a failure, and other rows in its place are refused, by a plan too', async () => {
    const file = (copy: string, last: string) => `${HEAD}\n${copy}\n${CSV}\nvacuum t;\n${last};`;
    const foreseen = async (content: string) => {
      const { order } = await makeOrder({ '1.sql': content }, { transaction });
      return (await sql(database.url, "select weft.plan($1, $2) -> 'halves' as halves", [order.manifest, { '1.sql': content }]))[0].halves;
    };
    expect(await deployed(file(COPY, 'select 1/0'))).toMatchObject({ state: 'failed', error: { line: 11 } });
    const other = file(COPY.replace('begin', 'BEGIN'), 'select 1');
    const { error } = await deployed(other);
    expect(error).toMatchObject({
      sqlstate: 'WF021',
      message: 'Statement 2 of 1.sql is in the database already, and something else stands in its place now, in line 2.',
    });
    expect(error?.detail).toMatch(/This one was: copy t from stdin, and its rows$/);
    expect(await foreseen(other)).toMatchObject([{ goes_on: 'refused', refusal: error }]);
    expect(await foreseen(file(COPY, 'select 1'))).toMatchObject([{ goes_on: 'behind', statements: 4, next_line: 11 }]);
    expect(await deployed(file(COPY, 'select 1'))).toMatchObject({ state: 'succeeded' });
    expect((await rows()).length).toBe(3);
  });

  it.each([
    ['CSV with a quote of its own', "copy t (b, a) from stdin (format csv, quote '$');\n$a\"\n;$,4\n\\.", { a: 4, b: 'a"\n;' }],
    ['text, in a table that is called csv', 'copy csv from stdin;\n1\t"x\n\\.', { a: 1, b: '"x' }],
    ['CSV, in a table that a parameter names', 'copy :"name" (b, a) from stdin csv;\n"a\n;",4\n\\.', { a: 4, b: 'a\n;' }],
  ])('is read by a plan as by the run: %s', async (_, copy, row) => {
    const file = (last: string) => ({
      'weft.yaml': `name: shop\nparameters: { name: { type: text, default: t } }\nphases: [{ name: main, transaction: ${transaction}, steps: [{ run: 1.sql }] }]`,
      '1.sql': `create table t (a int, b text);\ncreate table csv (like t);\n${copy}\nvacuum t;\n${last};`,
    });
    expect(await deployFiles(connectOver(database.url), file('select 1/0'))).toMatchObject({ state: 'failed', error: { sqlstate: '22012' } });
    expect(await sql(database.url, 'select a, b from t union all select a, b from csv')).toEqual([row]);
    const corrected = file('select 1');
    const { order } = await makeOrder(corrected);
    const [{ halves }] = await sql(database.url, "select weft.plan($1, $2) -> 'halves' as halves", [order.manifest, { '1.sql': corrected['1.sql'] }]);
    expect(halves).toMatchObject([{ goes_on: 'behind', statements: 4, refusal: null, next_line: corrected['1.sql'].split('\n').length }]);
    expect(await deployFiles(connectOver(database.url), corrected)).toMatchObject({ state: 'succeeded' });
  });

  it('is rehearsed, and nothing of it stays', async () => {
    const end = await deployed(`${HEAD}\n${COPY}\nvacuum t;\n${CSV}\nselect count(*) from t;`, { mode: 'rehearse' });
    expect(end).toMatchObject({ state: 'succeeded' });
    expect(JSON.stringify(end)).not.toContain('x; begin');
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });

  it('without the line that ends its rows is refused before anything of the file has run', async () => {
    expect(await deployed(`${HEAD}\nvacuum t;\ncopy t from stdin;\n1\tx\n`)).toMatchObject({
      state: 'failed',
      error: { sqlstate: expect.stringMatching(/^WF087$|^25001$/), path: '1.sql' },
    });
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });
});
