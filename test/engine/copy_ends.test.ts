/** Where the rows behind COPY end: at a line \. and nowhere else, so that no row is taken for the end, and no statement for a row. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { sql } from '../support/sql.ts';
import { failFiles, passFiles } from './support.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

const values = async () => (await sql(database.url, 'select a from t')).map(({ a }) => a);

/** Deploys rows between a table and a statement behind them. */
async function pass(rows: string, options = '', end = '\n'): Promise<void> {
  await passFiles(database.url, {
    '1.sql': ['create table t (a text);', `copy t from stdin ${options};`, `${rows}\\.`, 'create table u (b int);', ''].join(end),
  });
  expect(await sql(database.url, "select to_regclass('u') is not null as is_made")).toEqual([{ is_made: true }]);
}

async function fail(text: string) {
  const error = await failFiles(database.url, { '1.sql': text });
  expect(await sql(database.url, "select to_regclass('t') as t")).toEqual([{ t: null }]);
  return error;
}

describe('rows end at a line that is \\. and nothing else', () => {
  it('also where rows of CSV begin with it', async () => {
    await pass('\\.jpg$\n\\.png$\n', '(format csv)');
    expect(await values()).toEqual(['\\.jpg$', '\\.png$']);
  });

  it('also in lines that end in CRLF', async () => {
    await pass('\\.jpg$\r\n\\.\\.\r\n', '(format csv)', '\r\n');
    expect(await values()).toEqual(['\\.jpg$', '\\.\\.']);
  });

  it('also where the first one stands in the first line, in quotes or behind a space', async () => {
    await pass('" \n\\.x\n"\n \\.\n', '(format csv)');
    expect(await values()).toEqual([' \n\\.x\n', ' \\.']);
  });

  it('in text too, where a value begins with it behind a backslash of its own', async () => {
    await pass('\\\\.jpg$\n\\\\\\\\.\n\n');
    expect(await values()).toEqual(['\\.jpg$', '\\\\.', '']);
  });

  it.each([1, 2, 3, 5, 7])('wherever a file is cut into pieces: %i characters', async (size) => {
    await setLimits(database.url, { copy_piece_characters: size });
    await pass('\\.jpg$\n\\.\\.\n\\..\n', '(format csv)');
    expect(await values()).toEqual(['\\.jpg$', '\\.\\.', '\\..']);
  });

  it('in a file of many chunks', async () => {
    await pass('\\.jpg$\n'.repeat(200_000), '(format csv)');
    expect(await sql(database.url, 'select a, count(*)::int from t group by a')).toEqual([{ a: '\\.jpg$', count: 200_000 }]);
  });

  it.each([
    ['that begins with it', '\\.jpg$'],
    ['with it and a space', '\\. '],
    ['that holds it', 'a\\.b'],
    ['that ends in it', 'a\\.'],
    ['that holds it behind a backslash', 'a\\\\\\.'],
  ])('in text a row %s is refused, as the server does, which would lose what is behind it', async (_, row) => {
    const error = await fail(`create table t (a text);\ncopy t from stdin;\nx\\\\.\n${row}\n\\.\ncreate table u (b int);\n`);
    expect(error).toMatchObject({ sqlstate: '22P04', line: 4, message: 'Line 4: end-of-copy marker is not alone on its line' });
    expect(error.hint).toContain('\\\\.');
  });
});

describe('rows that only the end of the file ends are refused', () => {
  it.each([
    ['with statements behind them that would be rows', 'a\ncreate table u (b int);\n'],
    ['with none', 'a\nb\n'],
    ['without a line end', 'a\nb'],
    ['of which there are none', ''],
    ['and that go on in a line that only begins with \\.', 'a\n\\.x\ncreate table u (b int);\n', '(format csv)'],
    ['of many pieces', 'abcdefgh\n'.repeat(20_000)],
  ])('%s', async (_, rows, options = '') => {
    const error = await fail(`create table t (a text);\n\ncopy t from stdin ${options};\n${rows}`);
    expect(error).toMatchObject({ sqlstate: 'WF087', line: 3, statement: expect.stringMatching(/^copy t from stdin/) });
    expect(error.hint).toBe('Write \\. into a line of its own behind the last row, also where that is the end of the file.');
  });
});

describe('rows that only the line \\. behind a later COPY ends are refused, with the lines of both', () => {
  const LATER = 'COPY public.t (a, "b;") FROM stdin;';
  it.each([
    ['of one column of text, which would take them', 'a text', 'x\n'],
    ['of several', 'a text, b int', 'x\t1\n'],
    ['behind an empty line, which is a row with a field too few', 'a text, b int', 'x\t1\n\n'],
  ])('%s', async (_, columns, rows) => {
    const error = await fail(`create table t (${columns});\n-- so\ncopy t from stdin;\n${rows}${LATER}\n1\t2\n\\.\nselect 1;\n`);
    const line = 4 + rows.split('\n').length - 1;
    expect(error).toMatchObject({
      sqlstate: 'WF087',
      line,
      message: `Line ${line}: another COPY begins among the rows of the COPY in line 3, which no line \\. has ended.`,
    });
    expect(error.hint).toContain('Write \\. into a line of its own behind the last row of the first one.');
  });

  it('wherever the file is cut into pieces', async () => {
    await setLimits(database.url, { copy_piece_characters: 7 });
    expect(await fail(`create table t (a text);\ncopy t from stdin;\nx\n${LATER}\n1\n\\.\n`)).toMatchObject({ sqlstate: 'WF087', line: 4 });
  });

  it.each([
    ['in a field of CSV', '"so:\nCOPY t FROM stdin;\n"\n', '(format csv)', 'so:\nCOPY t FROM stdin;\n'],
    ['that is less than a line', `-- ${LATER}\n`, '', `-- ${LATER}`],
    ['that has no semicolon', 'copy t from stdin\n', '', 'copy t from stdin'],
  ])('and taken where it can be nothing but a value: %s', async (_, rows, options, value) => {
    await pass(rows, options);
    expect(await values()).toEqual([value]);
  });
});

it.each([
  ['alone', '\n', 3],
  ['in CSV', '\n', 3, '(format csv)'],
  ['in CRLF', '\r\n', 3, '(format csv)'],
  ['among others', 'a\tb\n\nc\td\n', 4],
])('an empty line is a row with a field too few, and is not passed over: %s', async (_, rows, line, options = '') => {
  const error = await fail(`create table t (a text, b text);\ncopy t from stdin ${options};\n${rows}\\.\nselect 1;\n`);
  expect(error).toMatchObject({ sqlstate: '22P04', line, message: `Line ${line}: missing data for column "b"` });
});

describe('rows end as the first one does, as the server has it', () => {
  it.each([
    ['CSV: LF, then CRLF', '(format csv)', 'a\nb\r\n', 4, 'unquoted carriage return'],
    ['CSV: CRLF, then LF', '(format csv)', 'a\r\n"b\n"\r\nc\nd\r\n', 6, 'unquoted newline'],
    ['CSV: LF behind a row in quotes', '(format csv)', '"a\r\n"\n"b"\r\n', 5, 'unquoted carriage return'],
    ['CSV: a header of another kind', '(format csv, header)', 'a\nb\r\n', 4, 'unquoted carriage return'],
    ['CSV: CRLF within a row', '(format csv)', 'a\rb\r\n', 3, 'unquoted carriage return'],
    ['CSV: CRLF, then LF in the last row', '(format csv)', 'a\r\nb\n', 4, 'unquoted newline'],
    ['text: LF, then CRLF', '', 'a\nb\r\n', 4, 'literal carriage return'],
    ['text: CRLF, then LF', '', 'a\r\nb\nc\r\n', 4, 'literal newline'],
    ['text: CRLF, then LF in the last row', '', 'a\r\nb\n', 4, 'literal newline'],
  ])('%s', async (_, options, rows, line, message) => {
    const error = await fail(`create table t (a text);\ncopy t from stdin ${options};\n${rows}\\.\n`);
    expect(error).toMatchObject({ sqlstate: '22P04', line, message: `Line ${line}: ${message} found in data` });
    expect(error.hint).toMatch(/all LF or all CRLF|save the file with line ends LF or CRLF/);
  });

  it.each([
    ['CSV', '(format csv)', '"a\nb"\r\nc"\r\n"d\r\n\r\n', ['a\nb', 'c\r\nd', null]],
    ['text', '', 'a\\\nb\r\nc\\r\r\n\r\n', ['a\nb', 'c\r', '']],
  ])('and lose nothing of what is no line end: %s', async (_, options, rows, expected) => {
    for (const size of [65_536, 3]) {
      await setLimits(database.url, { copy_piece_characters: size });
      await passFiles(database.url, { [`${size}.sql`]: `create table t${size} (a text);\r\ncopy t${size} from stdin ${options};\r\n${rows}\\.\r\n` });
      expect((await sql(database.url, `select a from t${size}`)).map(({ a }) => a)).toEqual(expected);
    }
  });
});
