/** Files as they are in the world: rows behind COPY, as pg_dump writes them, and transactions around a file. */
import { writeFileSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';
import { failFiles, pack, passFiles, type Rule, send } from './support.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await freshDatabase();
  if (database.superuserUrl === null) return;
  const [{ owner }] = await sql(database.url, 'select quote_ident(current_user) as owner');
  await sql(database.superuserUrl, `alter schema public owner to ${owner}`); // which the owner of the database only is since 15
});

afterAll(async () => {
  await database.drop();
});

beforeEach(async () => {
  await sql(database.url, 'drop schema public cascade; create schema public');
});

let number = 0;

/** Deploys one file of a name that was not there before. */
async function pass(text: string, rule: Rule = 'single'): Promise<string> {
  const path = `${++number}.sql`;
  await passFiles(database.url, { [path]: text }, rule);
  return path;
}

async function fail(text: string, rule: Rule = 'single') {
  return failFiles(database.url, { [`${++number}.sql`]: text }, rule);
}

const events = (path: string) =>
  sql(database.url, `select kind, data from weft.events where path = $1 and kind not in ('step_succeeded') order by number`, [path]);

describe('the rows behind COPY … FROM STDIN', () => {
  it.each([
    [
      'with a list of columns',
      'create table t (a int, b text);\ncopy t (b, a) from stdin;\nx\t1\ny\t2\n\\.\n',
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    ['without one', 'create table t (a int, b text);\nCOPY public.t FROM STDIN;\n1\tx\n\\.\nselect 1;\n', [[1, 'x']]],
    [
      'with NULL and empty strings',
      'create table t (a int, b text);\ncopy t from stdin;\n\\N\t\n1\t\\N\n\\.\n',
      [
        [null, ''],
        [1, null],
      ],
    ],
    [
      'with quotes, semicolons and comments in them',
      `create table t (a int, b text);\ncopy t from stdin;\n1\tit's; -- "x" /* $$\n2\t;\n\\.\nselect ';';`,
      [
        [1, `it's; -- "x" /* $$`],
        [2, ';'],
      ],
    ],
    [
      'with escapes',
      'create table t (a text, b text);\ncopy t from stdin;\na\\tb\\nc\\\\d\\re\\\\N\t\\x41\\102\\q\\\\.\n\\v\\f\t\\bv\n\\.\n',
      [
        ['a\tb\nc\\d\re\\N', 'ABq\\.'],
        ['\v\f', '\bv'],
      ],
    ],
    ['with a tab and a line feed behind backslashes', 'create table t (a text, b text);\ncopy t from stdin;\na\\\tb\tc\\\nd\n\\.\n', [['a\tb', 'c\nd']]],
    ['with \\N in longer fields', 'create table t (a text, b text);\ncopy t from stdin;\nx\\N\\N\t\\N\\Ny\n\\.\n', [['xNN', 'NNy']]],
    ['of one column, some of them empty', 'create table t (a text);\ncopy t from stdin;\n\nx\n\\N\n\n\\.\n', [[''], ['x'], [null], ['']]],
    ['of one column and one row, empty', 'create table t (a text);\ncopy t from stdin;\n\n\\.\n', [['']]],
    ['of no column', 'create table t ();\ncopy t from stdin;\n\n\n\\.\n', [[], []]],
    ['that are none', 'create table t (a int);\ncopy t from stdin;\n\\.\ninsert into t values (1);', [[1]]],
    ['up to a line \\. at the end of the file', 'create table t (a int);\ncopy t from stdin;\n1\n2\n\\.', [[1], [2]]],
    [
      'with lines that end in CRLF',
      'create table t (a int, b text);\r\ncopy t from stdin;\r\n1\tx\r\n2\ty\r\n\\.\r\nselect 1;\r\n',
      [
        [1, 'x'],
        [2, 'y'],
      ],
    ],
    ['behind a byte order mark', '\ufeffcreate table t (a int);\ncopy t from stdin;\n1\n\\.\n', [[1]]],
    ['behind a comment in the line of the COPY', 'create table t (a int);\ncopy t from stdin; -- rows; here\n1\n\\.\n', [[1]]],
    ['behind comments of both kinds', 'create table t (a int);\ncopy t from stdin; /* rows; */ /**/ -- here */\n1\n\\.\n', [[1]]],
    [
      'of a table whose name is odd',
      'create table "a ""t;" ("from" int);\ncreate view t as table "a ""t;";\ncopy "a ""t;" ("from") from stdin;\n1\n\\.\n',
      [[1]],
    ],
    [
      'with a delimiter and a word for NULL',
      `create table t (a int, b text);\ncopy t from stdin with (delimiter '|', null '-');\n1|x\n-|\\N\\|\n\\.\n`,
      [
        [1, 'x'],
        [null, 'N|'],
      ],
    ],
    [
      'in the old words',
      `create table t (a int, b text);\ncopy t from stdin using delimiters ',' with null as '';\n1,x\n,y\n\\.\n`,
      [
        [1, 'x'],
        [null, 'y'],
      ],
    ],
    ['below a line that names the columns', 'create table t (a int);\ncopy t from stdin with (header);\na\n1\n\\.\n', [[1]]],
    ['with characters of several bytes', 'create table t (a text);\ncopy t from stdin;\ngröße 🎉\n\\.\n', [['größe 🎉']]],
    [
      'twice, and between statements',
      'create table t (a int);\ncopy t from stdin;\n1\n\\.\ncopy t from stdin;\n2\n\\.\nupdate t set a = a * 10;\ncopy t from stdin;\n3\n\\.\n',
      [[10], [20], [3]],
    ],
  ] as [string, string, unknown[][]][])('%s go into the table', async (_, text, rows) => {
    await pass(text);
    expect((await sql(database.url, 'select * from t')).map((row) => Object.values(row))).toEqual(rows);
  });

  it('are read as COPY reads them: identity, generated columns, defaults, domains, enums, arrays, lengths', async () => {
    await pass(`create type mood as enum ('sad', 'ok');
create domain short as varchar(3) check (value <> 'no');
create table t (id int generated always as identity, twice int generated always as (n * 2) stored, n int, c char(3), v varchar(3), s short, m mood, a short[],
  x numeric(4, 1), i interval, r regclass, q "char", b bytea, j jsonb, z bit(3), d timestamptz(0), at timestamptz default now(), k text default 'k');
copy t (id, n, c, v, s, m, a, x, i, r, q, b, j, z, d) from stdin;
7\t1\ta\tabc\tabc\tok\t{abc,NULL}\t1.25\t1 day\tpg_class\tx\t\\\\x00ff\t{"a": "b\\\\"c"}\t101\t2020-01-01 00:00:00.6+00
\\.
insert into t (n) values (5);`);
    const [row, next] = await sql(
      database.url,
      `select id, twice, c::text || '.' as c, v, s, m, a::text, x::text, i::text, r::text, q, encode(b, 'hex') as b, j, z, extract(epoch from d)::int as d, at is not null as at, k from t order by n`,
    );
    expect(row).toEqual({
      ...{ id: 7, twice: 2, c: 'a.', v: 'abc', s: 'abc', m: 'ok', a: '{abc,NULL}', x: '1.3', i: '1 day', r: 'pg_class', q: 'x', b: '00ff' },
      ...{ j: { a: 'b"c' }, z: '101', d: 1577836801, at: true, k: 'k' },
    });
    expect(next).toMatchObject({ id: 1, twice: 10 });
  });

  it('fire triggers as COPY does: each row, and once for the statement', async () => {
    await pass(`create table t (a int);
create table log (what text);
create function note() returns trigger language plpgsql as $$ begin insert into log values (tg_level || ' ' || tg_when); return new; end $$;
create trigger a before insert on t for each row execute function note();
create trigger b after insert on t for each statement execute function note();
copy t from stdin;
${Array.from({ length: 30_000 }, (_, n) => n).join('\n')}
\\.
`);
    expect(await sql(database.url, 'select what, count(*)::int from log group by what order by what')).toEqual([
      { what: 'ROW BEFORE', count: 30_000 },
      { what: 'STATEMENT AFTER', count: 1 },
    ]);
  });

  it('may refer to each other in whatever order, as in one statement', async () => {
    await pass(`create table t (id int primary key, parent int references t, note text);
copy t from stdin;
${Array.from({ length: 20_000 }, (_, n) => `${n}\t${19_999 - n}\tx`).join('\n')}
\\.
`);
    expect(await sql(database.url, 'select count(*)::int from t')).toEqual([{ count: 20_000 }]);
  });

  it('belong to the role, and are found by the path, that the file has then', async () => {
    const role = `weft_test_${database.name.slice(-8)}`;
    await sql(
      database.url,
      `drop role if exists ${role}; create role ${role}; grant ${role} to current_user; grant usage, create on schema public to ${role}; create schema elsewhere; grant all on schema elsewhere to ${role}`,
    );
    try {
      await pass(
        `set role ${role};\nset search_path = elsewhere;\ncreate table t (a int, who text default current_user);\ncopy t (a) from stdin;\n1\n\\.\ninsert into t values (2);\nselect pg_catalog.set_config('search_path', '', false);\ncopy elsewhere.t (a) from stdin;\n3\n\\.\n`,
      );
      expect(await sql(database.url, `grant ${role} to current_user; select a, who from elsewhere.t order by a`).catch(() => [])).toBeDefined();
      const client: pg.Client = await database.client();
      await client.query(`set role ${role}`);
      const { rows } = await client.query('select a, who from elsewhere.t order by a');
      await client.end();
      expect(rows).toEqual([1, 2, 3].map((a) => ({ a, who: role })));
    } finally {
      await sql(database.url, `drop schema if exists elsewhere cascade; drop owned by ${role}; drop role ${role}`);
    }
  });

  it('of several chunks are read piece by piece, with statements before, between and behind', async () => {
    const row = (n: number) => `${n}\t${'größe; \\\\ \\t it'.repeat(4)}\t\\N`;
    const rows = Array.from({ length: 30_000 }, (_, n) => row(n)).join('\n');
    const path = await pass(
      `create table t (a int, b text, c text);\ncopy t from stdin;\n${rows}\n\\.\nselect 1;\ncreate table u (like t);\ncopy u from stdin;\n${rows}\n\\.\nselect 2;`,
      'auto',
    );
    expect(await sql(database.url, `select count(*)::int, sum(a)::int, min(b) as b, count(c)::int as c from (table t union all table u) as x`)).toEqual([
      { count: 60_000, sum: 899_970_000, b: 'größe; \\ \t it'.repeat(4), c: 0 },
    ]);
    expect(await sql(database.url, 'select statements, rows::int from weft.steps where path = $1', [path])).toEqual([{ statements: 6, rows: 60_002 }]);
  });

  it.runIf(offers('a superuser'))('are read from what COPY TO writes, whatever stands in it', async () => {
    await sql(
      database.url,
      `create table t (n int, a text, b text[], j jsonb, y bytea);
      insert into t select n, (select string_agg(chr(case when c % 3 = 0 then 1 + (n * c) % 126 else (array[92, 9, 10, 13, 78, 46, 39, 34, 228, 128512])[1 + (n + c) % 10] end), '') from generate_series(1, n % 23) as c),
        array[E'\\\\', 'a"b', null, E'\\t'], jsonb_build_object('k', E'\\n"\\\\'), decode(lpad(to_hex(n), 4, '0'), 'hex')
      from generate_series(1, 3000) as n`,
    );
    const file = `/tmp/${database.name}.copy`;
    await sql(database.superuserUrl as string, `copy t to '${file}'`);
    const [{ text }] = await sql(database.superuserUrl as string, `select pg_read_file('${file}') as text`);
    await pass(`create table u (like t);\ncopy u from stdin;\n${text}\\.\n`);
    expect(await sql(database.url, '(table t except all table u) union all (table u except all table t)')).toEqual([]);
    expect(await sql(database.url, 'select count(*)::int from u')).toEqual([{ count: 3000 }]);
  });

  it.each([
    ['a value of no type', 'n int, t text', '1\tx\n2\ty\nno\tz', { sqlstate: '22P02', line: 5, column: 'n' }],
    ['a value that is too long', 'n int, t varchar(3)', '1\tabc\n2\tabcd', { sqlstate: '22001', line: 4, column: 't' }],
    ['a number that is too large', 'n int, t numeric(3, 1)', '1\t99\n2\t100', { sqlstate: '22003', line: 4, column: 't' }],
    ['NULL where there is none', 'n int, t text not null', '1\tx\n2\t\\N\n3\ty', { sqlstate: '23502', line: 4, column: 't' }],
    ['a row that breaks a check', 'n int check (n < 3), t text', '1\tx\n3\ty\n2\tz', { sqlstate: '23514', line: 4 }],
    ['a key that is there twice', 'n int primary key, t text', '1\tx\n2\ty\n3\tz\n2\tw', { sqlstate: '23505', line: 6 }],
    ['a reference to nothing', 'n int references r, t text', '\\N\tx\n2\ty', { sqlstate: '23503', line: 4 }],
    ['a value of a type that the same file makes', 'm mood, t text', 'ok\tx\nmad\ty', { sqlstate: '22P02', line: 4, column: 'm' }],
    ['a row with a field too few', 'n int, t text', '1\tx\n2\n3\tz', { sqlstate: '22P04', line: 4 }],
    ['a row with a field too many', 'n int, t text', '1\tx\n2\ty\tz', { sqlstate: '22P04', line: 4 }],
    ['a carriage return', 'n int, t text', '1\tx\n2\ty\rz', { sqlstate: '22P04', line: 4 }],
  ])('say path, line and column of %s', async (_, columns, rows, expected) => {
    await sql(database.url, 'create table r (n int primary key)');
    const error = await fail(`create type mood as enum ('ok'); create table t (${columns});\ncopy t from stdin;\n${rows}\n\\.\nselect 1;`);
    expect(error).toMatchObject(expected);
    expect(error.message).toContain(`Line ${expected.line}`);
    expect(error.statement).toBe('copy t from stdin');
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });

  it.each([
    ['an empty value, in its own line', 'n int', '1\n\n3', { sqlstate: '22P02', line: 4, column: 'n', message: expect.stringContaining('Line 4, column "n"') }],
    ['an empty value among other mistakes', 'd date', '2020-01-01\n\nno', { sqlstate: '22007', line: 4 }],
    ['an empty value that breaks a check', "t text check (t <> '')", 'a\n\nb', { sqlstate: '23514', line: 4 }],
    ['an empty key that is there twice', 't text primary key', 'a\n\nb\n', { sqlstate: '23505', line: 6 }],
  ])('of one column are told apart where one of them is empty: %s', async (_, columns, rows, expected) => {
    expect(await fail(`create table t (${columns});\ncopy t from stdin;\n${rows}\n\\.\nselect 1;`)).toMatchObject(expected);
  });

  it.each([
    ['of one column', 'n int', '1\n2\ninsert into t values (3);\nselect 1;\n', 5],
    ['of several', 'n int, t text', '1\ta\n2\tb\ninsert into t values (3);\nselect 1;\n', 5],
    ['far away from the end of the file', 'n int', `1\n2\nselect 1;\n${'3\n'.repeat(300_000)}`, 5],
  ])('say that the line \\. is missing that ends them: %s', async (_, columns, text, line) => {
    const error = await fail(`create table t (${columns});\ncopy t from stdin;\n${text}`);
    expect(error).toMatchObject({
      line,
      hint: expect.stringContaining('No line \\. ends these rows: all that is behind COPY, up to the end of the file, was taken for rows.'),
    });
    const next = await fail(`create table t (${columns});\ncopy t from stdin;\n${text}\\.\n`);
    expect(next).toMatchObject({ line, hint: 'Is the line \\. missing that ends the rows? This one looks like SQL.' });
  });

  it('say nothing of that where it is there', async () => {
    expect((await fail(`create table t (n int);\ncopy t from stdin;\n1\nx\n\\.\n`)).hint).toBeUndefined();
    expect((await fail(`create table t (n int);\ncopy t from stdin;\n1\t2\n\\.\n`)).hint).toBeUndefined();
  });

  it('say the lines among which it is when a trigger refuses a row without a word of it', async () => {
    const error = await fail(`create table t (n int);
create function no() returns trigger language plpgsql as $$ begin if new.n = 2 then raise 'not that'; end if; return new; end $$;
create trigger no before insert on t for each row execute function no();
copy t from stdin;\n1\n2\n3\n\\.\n`);
    expect(error).toMatchObject({ sqlstate: 'P0001', line: 5, message: 'Lines 5 to 7: not that' });
  });

  it.each([
    ['another format', 'copy t from stdin (format binary);\n1\n\\.\n', /format binary is not understood/, /load:/],
    ['an escape of CSV that is not its quote', `copy t from stdin (format csv, escape '\\');\n1\n\\.\n`, /escape "\\" is not understood/, /twice/],
    ['a quote outside of CSV', `copy t from stdin (quote '!');\n1\n\\.\n`, /without format csv/, /CSV/],
    ['an option of CSV that is not honoured', `copy t from stdin (format csv, force_null (a));\n1\n\\.\n`, /not understood/, /INSERT/],
    ['an option that nobody knows', `copy t from stdin (force_null (a));\n1\n\\.\n`, /not understood/, /INSERT/],
    ['something behind the COPY in its line', 'copy t from stdin; select 1;\n1\n\\.\n', /something stands in the same line/, /next line/],
  ])('are refused by name with %s', async (_, text, message, hint) => {
    const error = await fail(`create table t (a int);\n${text}`);
    expect(error).toMatchObject({ sqlstate: 'WF081', line: 2 });
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
  });

  it.runIf(offers('a superuser')).each([
    ['(format csv)', '1,x,\n2,"y ""quoted"", with a comma",2020-01-01\n3,"",\n'],
    ['csv', '1,"two\nlines",\n2,"and\r\na CRLF, and a \ttab",2020-01-01\n3, white space ,\n'],
    ['(format csv, header)', 'n,"a\nheader",d\r\n1,x,\r\n2,"two\r\nlines",\r\n'],
    [`(format csv, delimiter '|', null '-', quote '''')`, `1|'a|b''c'|-\n2|-|-\n3|'-'|-\n`],
    ['(format csv)', '1,in the "mid""d,le" of a field,\n2,\\N,\n3,\\.x,\n4,"\\",\n'],
    [`(format csv, delimiter E'\\t', null '\\N')`, '1\tx\t\\N\n2\t"\\N"\t2020-01-01\n'],
    [
      '(format csv)',
      `${Array.from({ length: 30_000 }, (_, n) => (n % 7 === 0 ? `${n},"größe ""${n}"";\n${'it, '.repeat(n % 50)}",` : `${n},plain,2020-01-01`)).join('\n')}\n`,
    ],
  ])('are read in CSV as the server reads it: %s %#', async (options, rows) => {
    const table = '(n int, t text, d date)';
    const file = `/tmp/${database.name}.csv`;
    writeFileSync(file, rows, { mode: 0o644 });
    await sql(database.url, `create table u ${table}`);
    await sql(database.superuserUrl as string, `copy u from '${file}' ${options}`);
    await pass(`create table t ${table};\ncopy t from stdin ${options};\n${rows}\\.\nselect 1;`);
    expect(await sql(database.url, '(table t except all table u) union all (table u except all table t)')).toEqual([]);
    expect(await sql(database.url, 'select count(*)::int from t')).toEqual(await sql(database.url, 'select count(*)::int from u'));
  });

  it.each([
    ['a value of no type, behind one of two lines', '1,"a\nb"\nx,y', { sqlstate: '22P02', line: 5, column: 'n' }],
    ['a value in quotes', '1,a\n"x",y', { sqlstate: '22P02', line: 4, column: 'n' }],
    ['a field too few', '1,"a\n"\n2\n3,c', { sqlstate: '22P04', line: 5 }],
    ['a field too many', '1,a\n2,b,c', { sqlstate: '22P04', line: 4 }],
    ['a quote that does not end', '1,a\n2,"b\n3,c', { sqlstate: '22P04', line: 4, message: expect.stringContaining('unterminated CSV quoted field') }],
    ['a carriage return', '1,"a"\n2,b\rc\n', { sqlstate: '22P04', line: 4 }],
    ['a key that is there twice', '1,"a"\n2,"b,c"\n2,d', { sqlstate: '23505', line: 5 }],
  ])('in CSV say path and line of %s', async (_, rows, expected) => {
    expect(await fail(`create table t (n int primary key, t text);\ncopy t from stdin csv;\n${rows}\n\\.\nselect 1;`)).toMatchObject(expected);
  });

  it('are refused where the header names other columns, and must not', async () => {
    await pass(
      'create table t (n int, t text);\ncopy t (t, n) from stdin (format csv, header match);\nt,"n"\na,1\n\\.\ncopy t from stdin (header match);\nn\tt\n2\tb\n\\.\n',
    );
    expect(await fail('copy t from stdin (format csv, header match);\nt,n\na,1\n\\.\n')).toMatchObject({ sqlstate: '22P04', line: 2 });
  });

  it('are refused where a rule would see an INSERT and no COPY', async () => {
    const error = await fail('create table t (a int);\ncreate rule r as on insert to t do instead nothing;\ncopy t from stdin;\n1\n\\.\n');
    expect(error).toMatchObject({ sqlstate: 'WF083', line: 3 });
  });

  it('are refused in a file that runs statement by statement where they are more than one statement may be, before anything of it has run', async () => {
    await setLimits(database.url, { statement_bytes: 1000 });
    const error = await fail(`create table t (a bigint);\ncopy t from stdin;\n${'1\n'.repeat(501)}\\.\n`, 'none');
    expect(error).toMatchObject({ sqlstate: 'WF086', line: 2 });
    expect(error.hint).toMatch(/auto/);
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });
});

describe('BEGIN and COMMIT around a file', () => {
  it.each([
    ['begin;', 'commit;'],
    ['-- a migration; by hand\nBEGIN TRANSACTION;', '/* done */ COMMIT WORK;\n-- the end'],
    ['start transaction isolation level read committed;', 'end'],
  ])('mean what Weft does anyway: %j … %j', async (begin, commit) => {
    for (const rule of ['single', 'per-step', 'auto'] as const) {
      const path = await pass(`${begin}\ncreate table t ();\nselect '${rule}';\n${commit}`, rule);
      expect(await sql(database.url, 'select statements from weft.steps where path = $1', [path])).toEqual([{ statements: 2 }]);
      await sql(database.url, 'drop table t');
      expect(await events(path)).toMatchObject([{ kind: 'wrapper_left_out', data: { line: begin.split('\n').length } }]);
    }
  });

  it('mean it in a file of many chunks and in one with rows', async () => {
    const path = await pass(`begin;\ncreate table t (a text);\n${"insert into t values ('x;');\n".repeat(60_000)}commit;\n`, 'auto');
    expect(await events(path)).toMatchObject([{ kind: 'wrapper_left_out' }]);
    const other = await pass(`begin;\ncopy t from stdin;\ny\n\\.\ncommit;`, 'auto');
    expect(await events(other)).toMatchObject([{ kind: 'wrapper_left_out' }]);
    expect(await sql(database.url, 'select count(*)::int from t')).toEqual([{ count: 60_001 }]);
  });

  it('are refused where the COMMIT does not come', async () => {
    expect(await fail('begin;\ncreate table t ();')).toMatchObject({ sqlstate: '0A000', line: 1 });
    expect(await fail('\nbegin;\ncreate table t (a int);\ncopy t from stdin;\n1\n\\.\n')).toMatchObject({ sqlstate: 'WF085', line: 2 });
    expect(await fail('begin;\ncreate table t ();\nrollback;')).toMatchObject({ sqlstate: '0A000', line: 1 });
    expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
  });
});

describe('BEGIN and COMMIT in the middle of a file', () => {
  const BLOCKS = `create table t (n int, xid bigint default txid_current());
begin;
insert into t values (1);
insert into t values (2);
commit;
insert into t values (3);
-- the second
start transaction;
insert into t values (4);
insert into t values (5); -- five
end;
begin; commit;
insert into t values (6);`;

  it.each(['auto', 'none'] as const)('make a transaction of what stands between them, under %s', async (rule) => {
    const path = await pass(`${BLOCKS}\nselect '${rule}';`, rule);
    expect(await sql(database.url, 'select array_agg(n order by n) as n from t group by xid order by min(n)')).toEqual(
      [[1, 2], [3], [4, 5], [6]].map((n) => ({ n })),
    );
    expect(await sql(database.url, 'select statements, rows::int from weft.steps where path = $1', [path])).toEqual([{ statements: 8, rows: 7 }]);
  });

  it.each(['single', 'per-step'] as const)(
    'are refused under %s, where a file is (part of) one transaction; the word says which rule takes them',
    async (rule) => {
      const error = await fail(`${BLOCKS}\nselect 'not ${rule}';`, rule);
      expect(error).toMatchObject({ sqlstate: '0A000', line: 2, statement: 'begin', hint: expect.stringContaining('"transaction: auto" or "none"') });
      expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
    },
  );

  it('are taken back as a whole where one of them fails, with its line; a repaired file goes on there', async () => {
    const path = `${++number}.sql`;
    const text = (n: string) =>
      `create table t (n int primary key);\nbegin;\ninsert into t values (1);\ncommit;\nbegin;\ninsert into t values (2);\ninsert into t\n  values (${n});\ncommit;\n`;
    const error = await failFiles(database.url, { [path]: text('1') }, 'auto');
    expect(error).toMatchObject({
      sqlstate: '23505',
      line: 7,
      statement: expect.stringMatching(/^insert into t\n/),
      detail: expect.stringContaining('is rolled back with it'),
    });
    expect(await sql(database.url, 'select n from t')).toEqual([{ n: 1 }]);
    await passFiles(database.url, { [path]: text('3') }, 'auto');
    expect(await sql(database.url, 'select n from t order by n')).toEqual([1, 2, 3].map((n) => ({ n })));
  });

  it('end what is set for them alone, also for a session that goes on with the file: SET LOCAL', async () => {
    const look = (n: number) =>
      `insert into public.t select ${n}, concat(current_setting('search_path') like 'pg_catalog%', current_setting('work_mem') = '8MB', current_setting('lock_timeout') = '7s')`;
    await sql(database.url, 'create sequence deaths');
    await pass(
      [
        'create table t (n int, p text)',
        ...['begin', 'set local search_path = pg_catalog, public', "set local work_mem = '8MB'", "set local lock_timeout = '7s'", look(1), 'commit'],
        look(2),
        "select case when nextval('deaths') = 1 then pg_terminate_backend(pg_backend_pid()) end",
        look(3),
      ].join(';\n'),
      'none',
    );
    expect(await sql(database.url, 'table t order by n')).toEqual([
      { n: 1, p: 'ttt' },
      { n: 2, p: 'fff' },
      { n: 3, p: 'fff' },
    ]);
  });

  it('let a later one see what only a commit brings: a new value of an enum', async () => {
    await pass(
      `create type mood as enum ('ok');\nbegin;\nalter type mood add value 'new';\ncommit;\nbegin;\ncreate table t (m mood);\ninsert into t values ('new');\ncommit;`,
      'auto',
    );
    expect(await sql(database.url, 'table t')).toEqual([{ m: 'new' }]);
  });

  it('are run once, also where the backend dies in the middle of one', async () => {
    await sql(database.url, 'create sequence deaths; create table t (n int)');
    await pass(
      `insert into t values (1);\nbegin;\ninsert into t values (2);\nselect case when nextval('deaths') < 3 then pg_terminate_backend(pg_backend_pid()) end;\ninsert into t values (3);\ncommit;\nbegin;\ninsert into t values (4);\ncommit;`,
      'none',
    );
    expect(await sql(database.url, 'select n from t order by n')).toEqual([1, 2, 3, 4].map((n) => ({ n })));
    expect(await sql(database.url, 'select last_value::int as n from deaths')).toEqual([{ n: 3 }]);
  });

  it.each([
    ['no COMMIT', 'create table t ();\nbegin;\nselect 1;', 2],
    ['a BEGIN in place of it', 'create table t ();\nbegin;\nselect 1;\nbegin;\nselect 2;\ncommit;', 2],
    ['no BEGIN', 'create table t ();\nselect 1;\ncommit;\nselect 2;', 3],
  ])('are refused before anything has run where they do not come in pairs: %s', async (_, text, line) => {
    for (const rule of ['auto', 'none'] as const) {
      expect(await fail(text, rule)).toMatchObject({ sqlstate: 'WF085', line });
      expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
    }
  });

  it('hold nothing that PostgreSQL runs in no transaction', async () => {
    const error = await fail('create table t (n int);\nbegin;\nselect 1;\ncreate index concurrently i on t (n);\ncommit;', 'auto');
    expect(error).toMatchObject({ sqlstate: '25001', line: 4, hint: expect.stringContaining('Move it in front of BEGIN') });
    expect(await sql(database.url, `select to_regclass('i') as i`)).toEqual([{ i: null }]);
  });

  it('are no matter in a rehearsal, around a whole file or in it', async () => {
    for (const text of [BLOCKS, 'begin;\ncreate table t (n int);\ncommit;']) {
      const parcel = pack([{ name: 'main', transaction: 'auto', files: { [`${++number}.sql`]: text } }]);
      const request = JSON.parse(Buffer.from(parcel.order.request).toString());
      const end = await send(database.url, { ...parcel, order: { ...parcel.order, request: Buffer.from(JSON.stringify({ ...request, mode: 'rehearse' })) } });
      expect(end).toMatchObject({ state: 'succeeded', mode: 'rehearse' });
      expect(await sql(database.url, `select to_regclass('t') as t`)).toEqual([{ t: null }]);
    }
  });
});

describe('what only psql knows', () => {
  it.each([
    ['\\i other.sql', /a step of its own/],
    ['\\set n 1', /parameters/],
    ["\\copy t from 'x.csv'", /load:/],
    ['\\if true', /"when"/],
    ['\\connect other', /one database/],
    ['\\echo done', /Take it out/],
    ['select 1 \\gexec', /DO block/],
    ["\\set who 'it''s'\nselect 2;", /parameters/],
  ])('is refused with its line, and what to do instead: %j', async (text, hint) => {
    const error = await fail(`select ${++number};\n\n-- here\n${text}\nselect 3;`);
    expect(error).toMatchObject({ sqlstate: '42601', line: 4 });
    expect(error.hint).toMatch(hint);
    expect(error.hint).toContain(/\\\w+/.exec(text)?.[0]);
  });

  it('but \\restrict and \\unrestrict, which pg_dump writes, are passed over', async () => {
    await pass(
      `\\restrict aB1\n\n-- a dump\nset statement_timeout = 0;\ncreate table t (a int);\n\\unrestrict aB1\n\\restrict it's\ninsert into t values (1);\n\\unrestrict it's\n\n`,
    );
    expect(await sql(database.url, 'table t')).toEqual([{ a: 1 }]);
    const error = await fail('\\restrict x\nselect 1/0;');
    expect(error).toMatchObject({ sqlstate: '22012', line: 2, statement: 'select 1/0' });
  });

  it('and a line in a string or a body that looks like one is left alone', async () => {
    await pass(`create table t (a text);\ninsert into t values ('\n\\restrict x\n');\ninsert into t select $$\n\\i x\n$$;`);
    expect(await sql(database.url, 'select btrim(a, chr(10)) as a from t order by 1')).toEqual([{ a: '\\i x' }, { a: '\\restrict x' }]);
  });
});
