/**
 * Files that need no scanner: `weft._mask` and `weft._cut_plain` are called directly. That they cut where the scanner does, for whatever they take, is
 * shown on the corpus and on files that are made up, in scanner_oracle.test.ts.
 */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { passFiles } from './support.ts';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await freshDatabase();
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  client = await database.client();
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

async function cut(text: string): Promise<{ statements: string[]; lines: number[] } | undefined> {
  const { rows } = await client.query('select statements, lines from weft._cut_plain($1)', [text]);
  return rows[0];
}

describe('a file is cut in one go', () => {
  it.each([
    ['with strings and names', `select 'a;''b' as "c;""d";\nselect 2;\n`, [`select 'a;''b' as "c;""d"`, '\nselect 2'], [1, 1]],
    ['with a last statement that no semicolon ends', 'select 1;\n select 2', ['select 1', '\n select 2'], [1, 1]],
    ['with comments', "-- one;\nselect 1; -- it's\n\n/* ; */ select 2;-- end", ['-- one;\nselect 1', " -- it's\n\n/* ; */ select 2"], [1, 2]],
    ['with operators that begin as comments do', "select 4 / 2 - 1, a -> 'b' ->> 'c';", ["select 4 / 2 - 1, a -> 'b' ->> 'c'"], [1]],
    ['with dollar quotes of one kind', 'do $a$ ; $$ ; $b$ $a$;\n\ndo $a$ begin; end $a$;', ['do $a$ ; $$ ; $b$ $a$', '\n\ndo $a$ begin; end $a$'], [1, 1]],
    ['with dollar quotes without a tag', 'do $$ ; $ ; $a $$;', ['do $$ ; $ ; $a $$'], [1]],
    ['with backslashes that mean nothing', `select 'C:\\;';`, [`select 'C:\\;'`], [1]],
    ['with nothing between two semicolons', ';; select 1 ; ; /* ; */;\n--\n;', [' select 1 '], [1]],
    ['that is empty', '', [], []],
    ['that is a comment', '-- nothing; at all\n/* nothing */', [], []],
    ['with lines of every kind', 'select 1;\r\nselect\n2;\rselect 3;', ['select 1', '\r\nselect\n2', '\rselect 3'], [1, 1, 3]],
  ])('%s', async (_, text, statements, lines) => {
    expect(await cut(text)).toEqual({ statements, lines });
  });
});

/** Cut at its semicolons, once those that end no statement are masked. */
async function cutMasked(text: string): Promise<{ statements: string[]; lines: number[] } | undefined> {
  const { rows } = await client.query(
    `select c.* from (select weft._mask($1, lower($1 collate "C")) as masked) as m cross join lateral weft._cut_masked($1, m.masked) as c where m.masked is not null`,
    [text],
  );
  return rows[0];
}

describe('a file is cut at its semicolons', () => {
  it.each([
    ['with strings', `select 'a''b', 'c';\nselect 2;\n`, [`select 'a''b', 'c'`, '\nselect 2'], [1, 1]],
    ['with a last statement that no semicolon ends', 'select 1;\n select 2', ['select 1', '\n select 2'], [1, 1]],
    [
      'with dollar quotes of one kind',
      "do $a$ ; $$ '; -- it's $b$ $a$;\n\ndo $a$ begin; end $a$;",
      ["do $a$ ; $$ '; -- it's $b$ $a$", '\n\ndo $a$ begin; end $a$'],
      [1, 1],
    ],
    ['with dollar quotes without a tag', 'do $$ ; $ "; \\ /* $$; select 1', ['do $$ ; $ "; \\ /* $$', ' select 1'], [1, 1]],
    ['with nothing between two semicolons', `;; select 1 ; ; ${' '.repeat(100)};\n;`, [' select 1 '], [1]],
    ['that begins with many blanks', `${'\n'.repeat(100)}select 1;select 2`, [`${'\n'.repeat(100)}select 1`, 'select 2'], [1, 101]],
    ['with semicolons in strings', `select 'a;b';\nselect ';';`, [`select 'a;b'`, `\nselect ';'`], [1, 1]],
    ['with names in quotes', `select "a", '"' from "it";select 2`, [`select "a", '"' from "it"`, 'select 2'], [1, 1]],
    ['with comments', "-- one\nselect 1; -- it's\n\n/* two */ select 2;-- end", ['-- one\nselect 1', " -- it's\n\n/* two */ select 2"], [1, 2]],
    [
      'with semicolons in comments and strings',
      "-- one; it's\nselect ';'; /* it's; */ select 2;\n--------;",
      ["-- one; it's\nselect ';'", " /* it's; */ select 2"],
      [1, 2],
    ],
    ['with comments that end in a carriage return', '-- it\rselect 1;\r\n-- two\r\nselect 2', ['-- it\rselect 1', '\r\n-- two\r\nselect 2'], [1, 1]],
    ['with comments around dollar quotes', '-- one\ndo $$ -- ; $$; -- two\nselect 1;', ['-- one\ndo $$ -- ; $$', ' -- two\nselect 1'], [1, 2]],
    ['with what begins a comment in a string or a name', `select '--', '/*';select "--*/";`, [`select '--', '/*'`, `select "--*/"`], [1, 1]],
    ['with a name that holds a quote', `select "it's";select 'a'`, [`select "it's"`, `select 'a'`], [1, 1]],
    ['with escapes in strings', `select E'it\\'s;', 'b', e'\\\\';select 'C:\\;'`, [`select E'it\\'s;', 'b', e'\\\\'`, `select 'C:\\;'`], [1, 1]],
    ['with a semicolon in a string between two with escapes', `select E'\\'', ';', E'\\'';`, [`select E'\\'', ';', E'\\''`], [1]],
    ['with what says the words of others', '-- the rule; atomic\ncreate table rules (std text);', ['-- the rule; atomic\ncreate table rules (std text)'], [1]],
  ])('%s', async (_, text, statements, lines) => {
    expect(await cutMasked(text)).toEqual({ statements, lines });
    // The regular expression leaves these to the scanner: escapes, what may say that semicolons are within, a semicolon that may be a comment's.
    if (!/[eE]'|atomic|rule|std|--[^\n]*;$/.test(text)) expect(await cut(text)).toEqual({ statements, lines });
  });

  it.each([
    ['unless a dollar quote begins in a string', `select '$a$'; select '; $a$ '; $a$ ' $a$`],
    ['unless a dollar quote begins in a comment', '-- $a$\nselect 1;\n-- $a$\n'],
    ['unless a dollar quote is of another kind', `select $a$ $a$, $b$;$b$`],
    ['unless a dollar stands behind a name', 'select a$$; select 1 as b$$;'],
    ['unless a dollar quote is left open', 'do $a$ begin; end $a$; do $a$ ;'],
    ['unless a dollar is of a parameter', 'select $1; select $1'],
    ['unless a string is left open', "select 'a"],
    ['unless a string is left open by an escaped quote', `select E'\\\\''\\'; select 1;`],
    ['unless a name is left open', 'select "a;'],
    ['unless a semicolon is in a name', 'select "a;b"'],
    ['unless a comment is left open', 'select 1; /* ;'],
    ['unless a comment is in a comment', 'select 1 /* ; /* ; */ ; */;'],
    ['unless a name holds what begins a string', `select "it's"; select 'a;'`],
    ['unless a backslash is in code', '\\restrict x\nselect 1;'],
    ['unless an escaped quote is in no string with escapes', `select 'C:\\'; select name'a\\', ';'`],
    ['unless semicolons may be within a statement', 'Create or /* */ replace Rule r as on insert to t do also (select 1; select 2)'],
    ['unless a body is not quoted', 'create function f() returns int begin Atomic select 1; end'],
    ['unless rows may follow', 'copy t from STDIN;\n1;2\n'],
    ['unless it holds what stands for a semicolon', 'do $$ \x1a; $$;'],
    ['unless it holds what stands for a quote', "-- it's; \x1b\nselect 1;"],
    ['unless it holds what stands for an escape', "select E'\\'; \x18';"],
  ])('%s', async (_, text) => {
    expect(await cutMasked(text)).toBeUndefined();
  });
});

describe('a file is left to the scanner', () => {
  it.each([
    ['with escapes in a string', `select E'it\\'s;';`],
    ['with the body of a function that is not quoted', 'create function f() returns int begin atomic select 1; end;'],
    ['with a rule, in whose parentheses semicolons are', 'create rule r as on insert to t do also (select 1; select 2);'],
    ['with a COPY whose rows may follow', 'copy t from stdin;\n1\n\\.\n'],
    ['with dollar quotes of two kinds', 'do $a$ begin end $a$; do $b$ begin end $b$;'],
    ['with a dollar that is no quote', 'select a$b from t where c = $1;'],
    ['with what looks like a dollar quote behind a name', 'select a$$; select 1 as b$$;'],
    ['with a comment in a comment', 'select 1 /* ; /* ; */ ; */;'],
    ['with a comment that ends in its last semicolon', 'select 1; -- two;'],
    ['with a backslash in code', '\\restrict x\nselect 1;'],
    ['with a string that is left open', "select 'a;\n;"],
    ['with a name that is left open', 'select "a;\n;'],
    ['with a comment that is left open', 'select 1; /* ;'],
    ['with a dollar quote of another kind behind a long text', `select $$ $$; select $b$${'prose; '.repeat(20_000)}$b$;`],
    ['with a dollar quote that is left open', 'do $a$ ; $b$;'],
  ])('%s', async (_, text) => {
    expect(await cut(text)).toBeUndefined();
  });
});

it('both kinds may stand in one phase, and run in the order of the bundle', async () => {
  const own = await freshDatabase();
  await passFiles(own.url, {
    '1.sql': "create table t (n int, said text);\ninsert into t values (1, 'a;b');",
    '2.sql': "insert into t values (2, E'it\\'s;');",
    '3.sql': 'insert into t values (3, $$;$$);\n',
    '4.sql': 'begin;\ninsert into t values (4, null);\ncommit;',
    '5.sql': '-- nothing',
  });
  const reader = await own.client();
  expect((await reader.query('select n, said from t order by ctid')).rows).toEqual([
    { n: 1, said: 'a;b' },
    { n: 2, said: "it's;" },
    { n: 3, said: ';' },
    { n: 4, said: null },
  ]);
  expect((await reader.query('select path, statements from weft.steps order by path')).rows.map(({ path, statements }) => [path, statements])).toEqual([
    ['1.sql', 2],
    ['2.sql', 1],
    ['3.sql', 1],
    ['4.sql', 1],
    ['5.sql', 0],
  ]);
  await reader.end();
  await own.drop();
});
