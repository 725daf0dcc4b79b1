/**
 * Where a statement ends. `weft._split` is called directly; psql's own rules, written down once more in TypeScript, are what it
 * is measured by, and the server itself: whatever is executed statement by statement must come to what the whole file comes to.
 */
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/sql.ts';
import { failFiles, passFiles, sha256 } from './support.ts';

interface Split {
  readonly statements: readonly string[];
  /** At which the text of each begins, right behind the semicolon before it. */
  readonly lines: readonly number[];
}

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await freshDatabase();
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  client = await database.client();
  await client.query(`create function pg_temp.split(p_pieces text[], out statements text[], out lines integer[]) language plpgsql as $$
    declare v_scanner weft._scanner := weft._new_scanner(); v_split record;
    begin
      statements := '{}'; lines := '{}';
      for n in 1 .. cardinality(p_pieces) loop
        v_split := weft._split(v_scanner, p_pieces[n], n = cardinality(p_pieces));
        v_scanner := v_split.p_scanner;
        statements := statements || v_split.statements;
        lines := lines || v_split.lines;
      end loop;
    end $$`);
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

async function split(...pieces: readonly string[]): Promise<Split> {
  const { rows } = await client.query('select * from pg_temp.split($1)', [pieces]);
  return { statements: rows[0].statements, lines: rows[0].lines };
}

/** The statements without white space around them. */
async function statementsOf(text: string): Promise<string[]> {
  return (await split(text)).statements.map((statement) => statement.trim());
}

/**
 * psql's scanner (PostgreSQL 18, src/fe_utils/psqlscan.l), token by token: slow, and easy to hold against the original.
 */
function splitLikePsql(text: string): Split {
  return scanLikePsql(text).split;
}

/** @returns also whether a parenthesis is closed that was not opened: no statement is like that, and the engine counts by the part */
function scanLikePsql(text: string): { split: Split; surplus: boolean } {
  let surplus = false;
  const statements: string[] = [];
  const lines: number[] = [];
  const ident = '[A-Za-z_\\u0080-\\uffff][A-Za-z0-9_$\\u0080-\\uffff]*';
  const space = '[ \\t\\n\\r\\f\\v]';
  const tokens: readonly (readonly [string, RegExp])[] = [
    ['nothing', new RegExp(`${space}+|--[^\\n\\r]*`, 'y')],
    ['comment', /\/\*/y],
    ['escape', /[eE]'/y],
    ['string', /[nNbBxX]?'|[uU]&'/y],
    ['name', /"|[uU]&"/y],
    ['dollar', /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y],
    ['junk', new RegExp(`\\$?[0-9]+(?:${ident})?`, 'y')],
    ['word', new RegExp(ident, 'y')],
    ['other', /[\s\S]/y],
  ];
  const continued = /(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y;
  const match = (pattern: RegExp, at: number) => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  let at = 0;
  let begin = 0;
  let hasCode = false;
  let parens = 0;
  let begins = 0;
  let words: string[] = [];
  const finish = (end: number) => {
    if (hasCode) {
      statements.push(text.slice(begin, end));
      lines.push(text.slice(0, begin).split('\n').length);
    }
  };
  while (at < text.length) {
    const found = tokens.map(([kind, pattern]) => [kind, match(pattern, at)] as const).find(([, token]) => token !== undefined);
    const [kind, token] = found as readonly [string, string];
    if (kind !== 'nothing' && kind !== 'comment' && token !== ';') hasCode = true;
    at += token.length;
    if (kind === 'comment') {
      for (let depth = 1; depth > 0 && at < text.length; ) {
        const mark = text.slice(at, at + 2);
        depth += mark === '/*' ? 1 : mark === '*/' ? -1 : 0;
        at += mark === '/*' || mark === '*/' ? 2 : 1;
      }
    } else if (kind === 'dollar') {
      const end = text.indexOf(token, at);
      at = end < 0 ? text.length : end + token.length;
    } else if (kind === 'name') {
      const end = text.indexOf('"', at);
      at = end < 0 ? text.length : end + 1;
    } else if (kind === 'string' || kind === 'escape') {
      const inside = kind === 'escape' ? /(?:[^'\\]|\\[\s\S]|'')*/y : /(?:[^']|'')*/y;
      for (;;) {
        at += match(inside, at)?.length ?? 0;
        at = Math.min(at + 1, text.length);
        const more = match(continued, at);
        if (more === undefined) break;
        at += more.length;
      }
    } else if (token === '(') {
      parens++;
    } else if (token === ')') {
      surplus ||= parens === 0;
      parens = Math.max(0, parens - 1);
    } else if (kind === 'word') {
      const word = token.toLowerCase();
      if (words.length < 4) words.push(word);
      if (parens === 0 && /^create( or replace)? (function|procedure)( |$)/.test(words.join(' '))) {
        if (word === 'begin' || (word === 'case' && begins > 0)) begins++;
        else if (word === 'end') begins = Math.max(0, begins - 1);
      }
    } else if (token === ';' && parens === 0 && begins === 0) {
      finish(at - 1);
      begin = at;
      hasCode = false;
      words = [];
    } else if (token === ';') {
      hasCode = true;
    }
  }
  finish(text.length);
  return { split: { statements, lines }, surplus };
}

describe('a semicolon ends no statement', () => {
  it.each([
    ['in a string', `select ';', 'it''s; here'`],
    ['in a string with backslashes, which mean nothing there', `select 'C:\\;', ';'`],
    ["in E'' behind an escaped quote", `select E'it\\'s; \\\\', e'\\\\\\';'`],
    ["in E'' behind a backslash", `select E'\\;\\;'`],
    ["in E'' that goes on in the next line", `select E'a' -- it's\n  \n 'b\\'; c'`],
    ['in a string that goes on in the next line', `select 'a\\'\n';'`],
    ['in a string behind a name that ends in e', `select date'2020-01-01;', some'\\', ';'`],
    ["in N'', B'', X'' and U&''", `select N';', B';', X';', U&'\\0041;' uescape '!', U&'\\'`],
    ['in a quoted name', `select 1 as "a;b", 2 as "x"";""y", 3 as U&"d;"`],
    ['in a quoted name with a quote in it', `select 1 as "it's; x"`],
    ['in a dollar quote', `select $$ ; ' " /* -- $ $$`],
    ['in a dollar quote with a tag', `select $a$ ; $$ ; $b$ ; $a $a$`],
    ['in a dollar quote whose tag is not of ASCII', `select $größe$ ; $$ $größe$`],
    ['in a dollar quote within a dollar quote', `do $outer$ begin execute $inner$ select 1; $inner$; end; $outer$`],
    ['behind a false end of a dollar quote', `select $a$ $b$a$ || ';'`],
    ['in a comment', `select 1 /* ; */ + 1`],
    ['in a comment within a comment', `select 1 /* ; /* ; */ ; */ + 1`],
    ['in a comment that begins and ends oddly', `select 1 /*/ ; */ + /**/ 1 /***;***/`],
    ['in a line comment', `select 1 -- it's; a "comment" $$\n + 1`],
    ['in a line comment that ends in CR', `select 1 -- ;\r + 1`],
    ['in a line comment that ends in CRLF', `select 1 -- ;\r\n + 1`],
    ['in the parentheses of a rule', `create rule r as on insert to t do also (insert into a values (1); insert into b values (2))`],
    ['in the body of a function', `create function f() returns int language sql begin atomic select 1; select 2; end`],
    [
      'in the body of a procedure, with CASE',
      `create or replace procedure p() begin atomic select case when true then 1 else case 1 when 1 then 2 end end; select 2; end`,
    ],
    [
      'in a function behind comments between its first words',
      `create /* ; */ or -- ;\n replace /* begin */ function f() returns int begin atomic select 1; end`,
    ],
    ['in a function behind much white space', `create${' '.repeat(400)}function f() returns int begin atomic select 1; end`],
    ['in a function in capitals', `CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END`],
    ["in a function with CASE in a parameter's default", `create function f(n int default case when true then 1 end) returns int begin atomic select 1; end`],
    ['in a function whose name is "begin"', `create function "begin"() returns int begin atomic select 1 as "end"; select 2; end`],
    ['in a function called begin, until there is an end', `create function begin() returns int language sql as $$ select 1; $$; select 2; end`],
    [
      'in a function whose body is behind many words',
      `create or replace function f(a int, b text default 'x;') returns int language plpgsql immutable as $$ begin return 1; end; $$ strict`,
    ],
    ['in a DO block', `do $$ begin perform 1; perform 2; end $$`],
  ])('%s', async (_, statement) => {
    expect(await statementsOf(statement)).toEqual([statement]);
    expect(await statementsOf(`select 0;${statement};select 9`)).toEqual(['select 0', statement, 'select 9']);
    expect(splitLikePsql(`select 0;${statement};select 9`).statements).toHaveLength(3);
  });
});

describe('a semicolon ends a statement', () => {
  it.each([
    ['behind a string that ends in a backslash', `select 'C:\\'`],
    ['behind $1', 'execute $1'],
    ['behind a dollar in a name', 'select a$b$c'],
    ['behind a dollar that opens nothing', 'select 1 $ 2'],
    ['behind $1 before a dollar quote', 'select $1$a$ ; $a$'],
    ['behind minus and divided by', 'select 1 - - 2 / 3 * 4'],
    ['behind columns called begin, end and atomic', 'select begin, "end", atomic from t'],
    ['behind BEGIN outside of a function', 'begin'],
    ['behind END outside of a function', 'end'],
    ['behind a table with CASE', 'create table t (n int default case when true then 1 end)'],
    ['behind a function with a quoted body', `create function f() returns int language sql as 'select case 1 when 1 then 2 end; select 3'`],
    ['behind a closing parenthesis too many', 'select 1)'],
    ['behind a comment that stands in operators', 'select 1 +/* ; */-1'],
    ['behind a trigger on a function', 'create trigger begin after insert on t execute function end()'],
  ])('%s', async (_, statement) => {
    expect(await statementsOf(`${statement};select 9`)).toEqual([statement, 'select 9']);
    expect(splitLikePsql(`${statement};select 9`).statements).toHaveLength(2);
  });
});

describe('what is no statement is left out', () => {
  it.each([
    ['nothing', '', []],
    ['white space', ' \n\t\r\n ', []],
    ['comments only', '-- a\n/* b; /* c */ */', []],
    ['semicolons only', ';; ;\n;', []],
    ['comments between semicolons', '-- a;\n; /* b; */ ;select 1;;-- c', ['select 1']],
    ['a comment behind the last semicolon', 'select 1;\n-- the end', ['select 1']],
    ['a comment that is not closed', 'select 1; /* the end; ', ['select 1']],
  ])('%s', async (_, text, statements) => {
    expect(await statementsOf(text)).toEqual(statements);
  });

  it('but a comment in front of a statement stays with it', async () => {
    expect(await statementsOf('-- why\nselect 1;/* and */ select 2')).toEqual(['-- why\nselect 1', '/* and */ select 2']);
  });

  it('the last statement needs no semicolon', async () => {
    expect(await statementsOf('select 1; select 2')).toEqual(['select 1', 'select 2']);
    expect(await statementsOf("select 1; select 'open; ")).toEqual(['select 1', "select 'open;"]);
  });
});

describe('lines', () => {
  /** Where each statement's first word stands, as the engine tells it with an error. */
  async function firstLines(text: string): Promise<number[]> {
    const { statements, lines } = await split(text);
    const { rows } = await client.query(
      'select weft._first_line(s, n) as line from unnest($1::text[], $2::integer[]) with ordinality as u (s, n, o) order by o',
      [statements, lines],
    );
    return rows.map((row) => row.line);
  }

  it.each([
    ['the first', 'select 1', [1]],
    ['behind empty lines', '\n\n  select 1;\n\nselect 2', [3, 5]],
    ['on one line', 'select 1; select 2;\nselect 3', [1, 1, 2]],
    ['behind comments', '-- a\n-- b\nselect 1;\n/* c\n\n*/ select 2;\n/* /* d\n*/\n*/\n-- e\n\nselect 3', [3, 6, 12]],
    ['behind strings and functions of several lines', `select 'a\nb';\nselect $$\n\n$$;\nselect E'\\\n';\nselect 4`, [1, 3, 6, 8]],
    ['with CRLF', '\r\nselect 1;\r\n-- a\r\nselect 2', [2, 4]],
    ['behind statements that are none', '\n;\n;-- a\n;\nselect 1', [5]],
    ['behind characters of several bytes', `select 'größe 🎉';\n-- 🎉\nselect '🎉'`, [1, 3]],
  ])('are counted %s', async (_, text, lines) => {
    expect(await firstLines(text)).toEqual(lines);
  });

  it('are told quickly behind a comment of a mebibyte', async () => {
    const text = `/* ${'* x / \n'.repeat(150_000)} */ select 1`;
    expect(await firstLines(text)).toEqual([150_001]);
  });
});

/** What may confuse a scanner; joined at random. */
const nasty = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ';',
      ';\n',
      '; ',
      ';;',
      '\r\n',
      '\n',
      ' ',
      ',',
      ', ',
      '(',
      ')',
      '-',
      '/',
      '*',
      '--',
      '/*',
      '*/',
      "'",
      '"',
      '\\',
      '$$',
      '$a$',
      '$A$',
      'e',
      'E',
      '1',
      '$1',
      '\t',
      '🎉',
      'é',
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      `'it''s'`,
      `E'it\\'s'`,
      `e'\\\\'`,
      `'C:\\'`,
      `E'a'\n'b\\';'`,
      `E'a' -- c; it's, x\n 'b\\'`,
      `'a'\n'b\\'`,
      `U&'\\'`,
      `"a"";"`,
      `$$ ; $$`,
      `$a$ ; $$ ' $b$a$`,
      'a$b$c',
      '/* ; /* , */ * / */',
      '-- ; , \n',
      "-- it's\r",
      '-- "x\r\n',
      'create ',
      'create or replace function f() ',
      'create /* c */ procedure p() ',
      'function ',
      'begin atomic ',
      'begin ',
      'case when ',
      'end',
      ' end;',
      'do also (select 1; select 2)',
      'select 1, ',
      'insert into t values (1, 2)',
      'date',
      "date'x'",
    ),
  },
);
const nastyFile = fc.array(nasty, { maxLength: 40 }).map((parts) => parts.join(''));
const seeded = { seed: 20260301, numRuns: 1500, endOnFailure: false };

describe('files made of nasty fragments', () => {
  it('are split as psql would', async () => {
    await fc.assert(
      fc.asyncProperty(nastyFile, async (text) => {
        const scanned = scanLikePsql(text);
        fc.pre(!scanned.surplus);
        expect(await split(text)).toEqual(scanned.split);
      }),
      seeded,
    );
  }, 120_000);

  it('are split alike, cut behind whatever ends of lines', async () => {
    await fc.assert(
      fc.asyncProperty(nastyFile, fc.infiniteStream(fc.boolean()), async (text, cuts) => {
        fc.pre(!scanLikePsql(text).surplus);
        const pieces = [''];
        for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
          pieces[pieces.length - 1] += line;
          if (line.endsWith('\n') && cuts.next().value) pieces.push('');
        }
        expect(await split(...pieces)).toEqual(await split(text));
      }),
      seeded,
    );
  }, 120_000);

  it('are split alike behind every single line', async () => {
    const text = `select 'a\n;b';\r\n/* ;\n/* ;\n*/ ; */ create\n or\n replace\n function f() returns int\n begin\n atomic\n select case\n 1 when 1\n then 2\n end;\n end;
select $a$\n;\n$a$; select E'x\\\n\\';'\n 'y\\'\n;\n; do also (\na;\nb\n); select "a\n;b", E'a' -- ;\n'\\';\n'; -- ;\nselect '🎉\n'`;
    const whole = await split(text);
    expect(whole).toEqual(splitLikePsql(text));
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
      expect(await split(text.slice(0, at + 1), text.slice(at + 1)), `cut behind ${JSON.stringify(text.slice(0, at + 1).slice(-20))}`).toEqual(whole);
    }
    expect(await split(...(text.match(/[^\n]*\n|[^\n]+$/g) ?? []))).toEqual(whole);
  });

  it('are split alike when long: parts of many thousand characters are walked in stretches', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(nasty, { minLength: 600, maxLength: 1200 }), async (parts) => {
        const text = parts.join('').replaceAll(';', ',');
        const scanned = scanLikePsql(`${text};${text}`);
        fc.pre(!scanned.surplus);
        expect(await split(`${text};${text}`)).toEqual(scanned.split);
      }),
      { ...seeded, numRuns: 150 },
    );
  }, 120_000);
});

/** Statements that a server takes, in which semicolons stand where they end nothing. */
const executable = fc.constantFrom(
  `insert into notes (note) values ('a;b'), ('it''s'), (E'it\\'s; \\\\'), ('C:\\'), ($$;'$$), ($x$ ; $$ $x$)`,
  `insert into notes (note) select E'a' -- it's; a comment\n  'b\\';c'`,
  `/* ; /* ' */ ; */ insert into notes (note) values ('🎉;') -- ;`,
  `insert into notes (note) values (U&'\\0061;')`,
  `create or replace rule twice as on delete to notes do also (insert into log values ('a;'); insert into log values ('b'))`,
  `delete from notes where note = 'a;b'`,
  `create or replace function f2(n int default case when true then 1 end) returns int language sql begin atomic select 1; select case n when 1 then 2 else 3 end; end`,
  `create or replace /* function */ function g() returns int language sql as $f$ select 1; select $$2;$$::text::char::int; $f$`,
  `insert into notes (note) select f(2)::text`,
  `do $$ begin insert into notes (note) values ('do;'); perform 1; end $$`,
  `create table if not exists "a;""b" ("c"";" int, "begin" int, "end" int)`,
  `insert into "a;b" values (1, 2, 3)`,
  `alter table notes add column if not exists "x;" text default ';'`,
  `comment on table notes is 'a; -- b /* c'`,
  `create or replace view v as select note || ';' as "n;" from notes`,
  `-- nothing; at all\n`,
  ``,
);

it('executed statement by statement, a file comes to what the whole of it comes to', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(executable, { maxLength: 12 }), fc.constantFrom(';', ';\n', ' ;\r\n'), async (parts, separator) => {
      const text = parts.map((part) => `${part}\n`).join(separator);
      const results: unknown[] = [];
      for (const pieces of [[text], (await split(text)).statements]) {
        await client.query(
          'begin; create table notes (id int generated always as identity, note text); create table log (note text); create table "a;b" ("c"";" int, "begin" int, "end" int); create function f(n int) returns int language sql as $$ select n $$',
        );
        try {
          for (const piece of pieces) await client.query(piece);
          const { rows } = await client.query(
            `select weft.fingerprint() as fingerprint, (select array_agg(notes order by id)::text from notes) as notes, (select array_agg(log)::text from log) as log`,
          );
          results.push(rows);
        } finally {
          await client.query('rollback');
        }
      }
      expect(results[1]).toEqual(results[0]);
    }),
    { seed: 20260301, numRuns: 60 },
  );
}, 120_000);

describe('a chunk', () => {
  const text = 'aé€🎉z';
  const bytes = Buffer.from(text);

  it('may end inside a character, whose first bytes are handed on', async () => {
    const results: string[] = [];
    for (let cut = 0; cut <= bytes.length; cut++) {
      const chunks = [bytes.subarray(0, cut), bytes.subarray(cut)];
      await client.query('insert into weft._chunks (digest, content) select sha256(c), c from unnest($1::bytea[]) as c on conflict do nothing', [chunks]);
      const { rows } = await client.query(
        `select a.text || b.text as text from weft._read_chunk(sha256($1::bytea), '', true, false) as a, weft._read_chunk(sha256($2::bytea), a.carry, false, true) as b`,
        chunks,
      );
      results.push(rows[0].text);
    }
    expect(new Set(results)).toEqual(new Set([text]));
  });

  it('of a file that is cut there in earnest runs to the end, its lines counted through', async () => {
    for (const shift of [0, 1, 2, 3]) {
      const file = `-- ${'-'.repeat(shift)}\n${`insert into t${shift} values ('🎉🎉🎉');\n`.repeat(40_000)}select 1/0;\n`;
      await sql(database.url, `create table t${shift} (x text)`);
      const error = await failFiles(database.url, { [`big${shift}.sql`]: file });
      expect(error).toMatchObject({ sqlstate: '22012', line: 40_002, statement: 'select 1/0' });
    }
  }, 120_000);
});

describe('statements that are large', () => {
  it('of many chunks take time in proportion', async () => {
    const row = `('${'x'.repeat(400)}', 'it''s', 1, 2),\n`;
    const text = `insert into wide values ${row.repeat(40_000)}('', '', 1, 2);`;
    await sql(database.url, 'create table wide (a text, b text, c int, d int)');
    await passFiles(database.url, { 'wide.sql': text });
    expect(await sql(database.url, 'select count(*)::int from wide')).toEqual([{ count: 40_001 }]);
  }, 120_000);

  it('are split in time where nothing but strings or comments stands between', async () => {
    const strings = `select 'x' ${`|| 'y' `.repeat(100_000)}`;
    expect((await split(`${strings};select 2`)).statements).toEqual([strings, 'select 2']);
    const comments = `${`-- it's a comment\n`.repeat(50_000)}select 1`;
    expect((await split(`${comments};select 2`)).statements).toEqual([comments, 'select 2']);
  }, 120_000);
});

describe('law 5: a file that the scanner splits wrongly, and that parses as a whole,', () => {
  // psql is as wrong here: it takes the column's name for the END of the block
  const odd = `create function odd() returns int language sql begin atomic select 1 as end; select 2; end;\ninsert into told values ('odd');`;

  it('is executed in one piece, and the journal says so', async () => {
    await sql(database.url, 'create table told (what text)');
    expect((await split(odd)).statements).toHaveLength(4);
    const deployment = await passFiles(database.url, { '1.sql': odd, '2.sql': 'select 1; select 2;' });
    expect(await sql(database.url, 'select odd(), (select array_agg(what) from told) as told')).toEqual([{ odd: 2, told: ['odd'] }]);
    const events = await sql(database.url, `select kind, path from weft.events where deployment_id = $1 and kind = 'split_given_up'`, [deployment.id]);
    expect(events).toEqual([{ kind: 'split_given_up', path: '1.sql' }]);
    const [step] = await sql(
      database.url,
      `select statements, encode(statement_digests[1], 'hex') as digest, in_one_piece from weft._steps where deployment_id = $1 and path = '1.sql'`,
      [deployment.id],
    );
    expect(step).toEqual({ statements: 1, digest: sha256(odd), in_one_piece: true });
  });

  it('fails in one piece as it would in several, nothing of it done', async () => {
    await sql(database.url, 'drop function if exists odd()');
    const error = await failFiles(database.url, { 'failing.sql': `${odd}\nselect 1/0;` });
    expect(error).toMatchObject({ sqlstate: '22012', path: 'failing.sql', line: 1 });
    expect(await sql(database.url, `select to_regproc('odd') as odd`)).toEqual([{ odd: null }]);
  });

  it.each(['single', 'per-step'] as const)('but a true syntax error fails with path, line and statement: %s', async (rule) => {
    const error = await failFiles(database.url, { 'wrong.sql': `select 1;\n\n-- here\n/* it\n is */ selct 2;\nselect 3;` }, rule);
    expect(error).toMatchObject({ sqlstate: '42601', path: 'wrong.sql', line: 5, phase: 'main' });
    expect(error.statement).toMatch(/selct 2$/);
    expect(await sql(database.url, `select count(*)::int from weft.events where path = 'wrong.sql' and kind = 'split_given_up'`)).toEqual([{ count: 0 }]);
  });

  it('and an open quote fails at the line where its statement begins', async () => {
    const error = await failFiles(database.url, { 'open.sql': `select 1;\nselect 'open;\nselect 3;\n` });
    expect(error).toMatchObject({ sqlstate: '42601', path: 'open.sql', line: 2 });
  });
});
