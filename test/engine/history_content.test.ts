/**
 * Two contents of one file: whether they differ in more than comments and white space, and how a difference is shown.
 * `weft._is_same_content` and `weft._difference` are called directly; `diff -u` is what the second is measured by.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';

const SEED = 47;

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

async function isSame(one: string, other: string): Promise<boolean> {
  const { rows } = await client.query('select weft._is_same_content($1, $2) as there, weft._is_same_content($2, $1) as back', [one, other]);
  expect(rows[0].back).toBe(rows[0].there);
  return rows[0].there;
}

async function difference(before: string, after: string): Promise<string> {
  return (await client.query('select weft._difference($1, $2) as text', [before, after])).rows[0].text;
}

describe('two files are the same', () => {
  it.each([
    ['line comments', 'select 1; -- one\nselect 2;', '-- both\nselect 1;\nselect 2;'],
    ['block comments, also one inside another', 'select /* a /* b */ c */ 1', 'select 1'],
    ['line ends', 'create table a (\r\n  n int\r\n);\r\n', 'create table a (\n  n int\n);\n'],
    ['blanks around parentheses, commas and operators', 'select f ( a , b ) where a=b and c  <  3', 'select f(a,b)where a = b and c<3'],
    ['blanks around casts', 'select x :: int, f(a := 1)', 'select x::int, f(a:=1)'],
    ['semicolons that end nothing', 'select 1;;;', 'select 1'],
    ['a semicolon at the end, or none', 'select 1;', 'select 1\n'],
    ['a comment before a dollar quote', 'do /* x */ $$ begin end $$', 'do $$ begin end $$'],
    ['a string that goes on behind a line’s end', "select 'a'\n   'b'", "select 'a'\n'b'"],
    ['comments that hold quotes', "select 1 -- don't\n, 'x'", "select 1, 'x'"],
    ['comments that hold dollar quotes', 'select 1 -- $$\n, 2', 'select 1, 2'],
    ['strings with escapes beside comments', "select e'it\\'s', 1 -- x", "select e'it\\'s',1"],
  ])('when they differ in %s', async (_, one, other) => {
    expect(await isSame(one, other)).toBe(true);
  });
});

describe('two files are not the same', () => {
  it.each([
    ['white space in a string', "select 'a b'", "select 'a  b'"],
    ['white space in a quoted name', 'select 1 as "a b"', 'select 1 as "a  b"'],
    ['a comment in the body of a function', 'do $$ begin end $$', 'do $$ begin /* x */ end $$'],
    [
      'white space in the body of a function',
      'create function f() returns int language sql as $f$ select  1 $f$',
      'create function f() returns int language sql as $f$ select 1 $f$',
    ],
    ['what only looks like a comment, in a string', "select '-- a'", "select '-- b'"],
    ['what only looks like a comment, in a string with escapes', "select e'\\'-- a'", "select e'\\'-- b'"],
    ['a blank that parts two operators', 'select 1 - -1', 'select 1 @- 1'],
    ['a blank that parts operators of one character', 'select a < -1', 'select a <-1'],
    ['a blank between words', 'select a b', 'select ab'],
    ['a blank in a number', 'select 1 .5', 'select 1.5'],
    ['a blank behind the mark of a string', "select e 'x'", "select e'x'"],
    ['a string that goes on, or a second one', "select 'a'\n'b'", "select 'a' 'b'"],
    ['the order of statements', 'select 1; select 2', 'select 2; select 1'],
    ['a statement more', 'select 1', 'select 1; select 1'],
    ['upper and lower case', 'select A', 'select a'],
    ['the tag of a dollar quote', 'do $a$ begin end $a$', 'do $b$ begin end $b$'],
    ['white space in a dollar quote behind a string with escapes', "select e'\\'', $$a  b$$, 'x'", "select e'\\'', $$a b$$, 'x'"],
    ['white space in a string that goes on behind one with escapes', "select e'a'\n'\\' b  c'", "select e'a'\n'\\' b c'"],
    ['white space in rows of COPY', 'copy t from stdin;\na\tb\n\\.\n', 'copy t from stdin;\na b\n\\.\n'],
    [
      'white space behind a comment that goes too deep to be looked at',
      "/* /* /* ' */ */ */ select 'a  b' /* ' */",
      "/* /* /* ' */ */ */ select 'a b' /* ' */",
    ],
  ])('when they differ in %s', async (_, one, other) => {
    expect(await isSame(one, other)).toBe(false);
  });

  it('whatever is changed inside of quotes, and are whatever is put between tokens', async () => {
    const quoted = fc.stringMatching(/^[a-z '"$/*-]{1,8}$/).chain((text) => {
      return fc.constantFrom(`'${text.replaceAll("'", "''")}'`, `"${text.replaceAll('"', '""')}"`, `$q$${text.replaceAll('$q$', '')}$q$`);
    });
    const token = fc.oneof(fc.constantFrom('select', 'a', 'from', '47', '1.5', '$1', ',', '(', ')', '=', '::', 'b.c', '"x y"'), quoted);
    const gap = fc.constantFrom(' ', '\n', '\t ', ' /* c */ ', ' -- d\n', '\r\n', " /* it's */ ", ' /* $$ /* " */ */ ');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(token, gap, gap), { minLength: 1, maxLength: 12 }), async (parts) => {
        // a word between them: two strings behind each other would be one
        const one = parts.map(([part, before, behind]) => `${part}${before}x${behind}`).join('');
        const other = parts.map(([part, before, behind]) => `${part}${behind}x${before}`).join('');
        expect(await isSame(one, other)).toBe(true);
        const at = parts.findIndex(([part]) => part.startsWith('$q$'));
        if (at >= 0)
          expect(
            await isSame(one, parts.map(([part, before, behind], index) => `${index === at ? `${part.slice(0, -3)} $q$` : part}${before}x${behind}`).join('')),
          ).toBe(false);
      }),
      { seed: SEED, numRuns: 200 },
    );
  });
});

describe('a long statement', () => {
  it('is told by its dollar quotes, wherever they begin and end', async () => {
    // around what the engine looks at, and takes, at a time
    for (const length of [...Array.from({ length: 12 }, (_, n) => 494 + n), 1010, ...Array.from({ length: 12 }, (_, n) => 8174 + n), 20_000]) {
      const words = 'a '.repeat(length / 2).padEnd(length, 'b');
      const made = (comment: string, body: string) => `select ${words} ${comment}, $tag$${body}$tag$, 'it -- $tag$', $tag$${words}$tag$ ${comment}`;
      const text = 'select weft._is_same_content($1, $2) as remarked, weft._is_same_content($3, $4) as quoted, weft._is_same_content($5, $3) as longer';
      const { rows } = await client.query(text, [
        ...[made('-- it is "one\n', 'x'), made('/* $tag$ */', 'x')],
        ...[made('', `${words} c`), made('', `${words}  c`), made('', `${words} /* c */ c`)],
      ]);
      expect(rows[0]).toEqual({ remarked: true, quoted: false, longer: false });
    }
  }, 60_000);

  it('of tens of thousands of dollar quotes is told too', async () => {
    const many = '$$x$$, '.repeat(30_000);
    const { rows } = await client.query('select weft._is_same_content($1, $2) as same', [`select ${many} 1`, `select ${many} /* that */ 1`]);
    expect(rows).toEqual([{ same: true }]);
  }, 60_000);
});

describe('a difference', () => {
  const lines = (...texts: readonly string[]): string => `${texts.join('\n')}\n`;
  const abc = 'abcdefghijklmnopqrstuvwxyz'.split('');

  it('is nothing between equal texts', async () => {
    expect(await difference('a\nb', 'a\nb')).toBe('');
  });

  it('shows what goes and what comes, with three lines around, and tells the lines', async () => {
    const after = abc.flatMap((letter) => (letter === 'e' ? ['E'] : letter === 't' ? [] : [letter]));
    expect(await difference(lines(...abc), lines(...after))).toBe(
      ['@@ -2,7 +2,7 @@', ' b', ' c', ' d', '-e', '+E', ' f', ' g', ' h', '@@ -17,7 +17,6 @@', ' q', ' r', ' s', '-t', ' u', ' v', ' w'].join('\n'),
    );
  });

  it('is as short as that of diff -u', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-difference-'));
    const text = fc.array(fc.constantFrom('a', 'b', 'c', 'd e'), { maxLength: 40 });
    try {
      await fc.assert(
        fc.asyncProperty(text, text, async (one, other) => {
          const [before, after] = [lines(...one), lines(...other)];
          writeFileSync(join(folder, 'before'), before);
          writeFileSync(join(folder, 'after'), after);
          const ours = await difference(before, after);
          const edits = (of: string): number => of.split('\n').filter((line) => /^[-+](?![-+][-+] )/.test(line)).length;
          expect(edits(ours)).toBeLessThanOrEqual(edits(unified(folder)));
          expect(applied(before, ours)).toBe(after);
        }),
        { seed: SEED, numRuns: 100 },
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('of a long text is found where it is, without regard to what is equal', async () => {
    const long = Array.from({ length: 5000 }, (_, n) => `line ${n}`);
    expect(await difference(lines(...long), lines(...long.toSpliced(2500, 1, 'other')))).toBe(
      ['@@ -2498,7 +2498,7 @@', ' line 2497', ' line 2498', ' line 2499', '-line 2500', '+other', ' line 2501', ' line 2502', ' line 2503'].join('\n'),
    );
  });

  it('is cut at difference_lines, a line at difference_line_characters, and says so', async () => {
    const shown = (await difference(lines(...abc.map((letter) => letter.repeat(300))), lines(...Array.from({ length: 400 }, (_, n) => String(n))))).split('\n');
    expect(shown).toHaveLength(101);
    expect(shown[1]).toBe(`-${'a'.repeat(200)} ...`);
    expect(shown.at(-1)).toMatch(/^\.\.\. and \d+ more lines$/);
  });

  it('shows a carriage return at the end of a line', async () => {
    expect(await difference('a\r\n', 'a\n')).toContain('-a\\r\n+a');
  });
});

function unified(folder: string): string {
  try {
    return execFileSync('diff', ['-u', 'before', 'after'], { cwd: folder, encoding: 'utf8' });
  } catch (error) {
    return String((error as { stdout: unknown }).stdout);
  }
}

/** Applies a unified difference. */
function applied(before: string, difference: string): string {
  const old = before.split('\n');
  const made: string[] = [];
  let at = 0;
  for (const line of difference === '' ? [] : difference.split('\n')) {
    const [, start, count] = /^@@ -(\d+),(\d+) /.exec(line) ?? [];
    if (start !== undefined) {
      const from = Number(start) - (Number(count) === 0 ? 0 : 1);
      made.push(...old.slice(at, from));
      at = from;
    } else if (line.startsWith('+')) made.push(line.slice(1));
    else {
      expect(old[at]).toBe(line.slice(1));
      if (line.startsWith(' ')) made.push(line.slice(1));
      at += 1;
    }
  }
  return [...made, ...old.slice(at)].join('\n');
}
