/** What `weft check` warns of without a server: what is found, where, and what is left in peace. */
import { describe, expect, it } from 'vitest';
import { findUnrunnable } from '../../src/cli/unrunnable.ts';
import { makeFolder } from './folder.ts';
import { run } from './run.ts';

/** Kind, line and words of each finding. */
function found(text: string): string[] {
  return findUnrunnable(text).map(({ kind, line, words }) => `${line} ${kind}: ${words}`);
}

describe('what no server takes from a file', () => {
  it.each([
    ['begin;\ncreate table a ();\nCommit ; select 1', ['1 transaction: BEGIN', '3 transaction: COMMIT']],
    ['select 1;\n-- so\nstart /* it */ transaction isolation level serializable;', ['3 transaction: START TRANSACTION']],
    ['end; rollback to a; abort; savepoint a; release a', ['END', 'ROLLBACK', 'ABORT', 'SAVEPOINT', 'RELEASE'].map((word) => `1 transaction: ${word}`)],
    ["prepare transaction 'x';", ['1 transaction: PREPARE TRANSACTION']],
    ['\\restrict abc\n\\i other.sql\nselect 1 \\gexec\n', ['2 psql: \\i', '3 psql: \\gexec']],
    ["\\copy a from 'a.csv'", ['1 psql: \\copy']],
    ['\n\ncopy public.a (n, "m")\n  from stdin;\n1\tbegin;\n\\N\t2\n\\.\nbegin;', ['8 transaction: BEGIN']],
    ['COPY a FROM STDIN WITH (format csv);\nbegin;\nrollback;\n\\.\n\\set x', ['5 psql: \\set']],
    ['copy (select n from a) to stdout', ['1 copy: COPY … TO STDOUT']],
    ['select 1;\ncopy a from stdin;\n1\nselect 2;\n', ['2 rows: COPY … FROM STDIN']],
    ['copy a from stdin;\n1\nCOPY public.b (n, m) FROM stdin;\n1\t2\n\\.\nselect 1;', ['3 swallowed: COPY … FROM STDIN']],
    ['copy a from stdin;', ['1 rows: COPY … FROM STDIN']],
    ['copy a from stdin;\r\n1\r\n \\.\r\n', ['1 rows: COPY … FROM STDIN']],
    ['\ufeffbegin;', ['1 transaction: BEGIN']],
    ['create table a (n int);\r\nbegin;\r\n', ['2 transaction: BEGIN']],
  ])('is found with its line: %j', (text, findings) => {
    expect(found(text)).toEqual(findings);
  });

  it.each([
    'begin;\ncreate table a ();\ncommit;',
    '-- so\nSTART TRANSACTION; select 1; end -- so',
    'copy a from stdin;\n1\tbegin;\n\\i x\n\\.\n',
    'copy a from stdin;\ncopy\tfrom stdin;\n\\.\n',
    'copy a from stdin (format csv);\n"so:\nCOPY b FROM stdin;\n"\n\\.\n',
    'copy a from stdin;\r\n1\r\n\\.\r\ncopy a from stdin;\n\\.',
    '\\restrict abc\nselect 1;\n\\unrestrict abc\n',
    "select 1;\nBEGIN;\n\nSELECT pg_catalog.lo_open('47', 131072);\nSELECT pg_catalog.lo_close(0);\n\nCOMMIT;\nselect 2;",
    "select e'a'\n 'b\\';\\i x';",
    "select 'x; begin; ', \"a; commit;\", 'it''s; begin;'",
    "select e'it\\'s; begin; \\\\i', E'a''b\\'; commit;'",
    '-- begin;\n/* commit; /* rollback; */ end; */ select 1;',
    'do $$ begin perform 1; end; $$; do $a$ begin; $$; commit; $a$;',
    'create function a() returns int begin atomic select case when true then 1 end; select 2; end;\nselect 1;',
    'create rule r as on insert to a do also (insert into b values (1); delete from c);',
    "copy a from '/tmp/a.csv'; copy (select 1 from stdin) to '/tmp/b';",
    'prepare a as select 1; start_it(); select commit from begin; begin_it();',
    "select 'unfinished; begin;",
    'do $$ unfinished; begin;',
    '/* unfinished; begin;',
    'select a$b$, $1; select 1e5, U&"d; begin;";',
    '',
  ])('is not seen in %j', (text) => {
    expect(found(text)).toEqual([]);
  });

  it('is no matter of size', () => {
    expect(found(`select '${'x'.repeat(5_000_000)}', e'${"\\'".repeat(1_000_000)}';\n/*${'*'.repeat(5_000_000)}*/ begin;`)).toEqual(['2 transaction: BEGIN']);
  });
});

describe('weft check', () => {
  it('warns of it, a sentence for each file and kind, and still calls the bundle valid', async () => {
    const folder = makeFolder({
      '1.sql': 'create table a ();\ncommit;\nselect 1;\ncommit;',
      '4.sql': 'begin;\nselect 1;\ncommit;\nselect 2;\nbegin;\nselect 3;\nend;',
      '2.sql': '\\restrict abc\nCOPY a FROM stdin;\n1\n\\.\n\\unrestrict abc\n',
      '3.sql': 'select 3;\ncopy a to stdout;',
    });
    const { code, stdout, stderr } = await run(['check', folder]);
    expect(code).toBe(0);
    expect(stdout).toContain('Valid: 1 phase, 4 files');
    expect(stderr).toMatchInlineSnapshot(`
      "warning: "1.sql", line 2: this will probably fail: COMMIT begins or ends a transaction in the middle of the file, and the transactions are Weft's. In a phase with "transaction: auto" or "none" BEGIN and COMMIT, in pairs, make one; else cut the file in two there, or take it out. (1 more of the kind in this file.)
      warning: "3.sql", line 2: this will probably fail: COPY … TO STDOUT talks to a client, and a run has none. Take it out.
      "
    `);
    expect((await run(['check', folder, '--json'])).json()).toMatchObject({
      valid: true,
      warnings: [/1\.sql/, /3\.sql/].map((path) => expect.stringMatching(path)),
    });
  });

  it.each(['check', 'plan'])('and weft plan name in the line of a file the transactions of its own, and what that means: %s', async (command) => {
    const own = 'create table a ();\nbegin;\ncreate table b ();\ncommit;\nstart transaction; select 1; end;';
    const files = { '1.sql': own, '2.sql': 'begin;\nselect 1;\ncommit;' };
    const { stdout } = await run([command, makeFolder(files)]);
    expect(stdout).toMatch(
      / 1\.sql .* its own BEGIN … COMMIT \(lines 2, 5\): runs statement by statement, and if it fails half-way, what it has committed stays$/m,
    );
    expect(stdout).not.toMatch(/2\.sql.*BEGIN/); // around all of it they are left out
    const { json } = await run([command, makeFolder(files), '--json']);
    expect(json().phases[0].steps).toMatchObject([{ begins: [2, 5] }, { begins: [] }]);
    const single = { ...files, 'weft.yaml': 'name: a\nphases: [{ name: b, transaction: single, steps: [{ run: "*.sql" }] }]' };
    const refused = await run([command, makeFolder(single)]);
    expect(refused.stdout).not.toContain('its own BEGIN'); // there a warning says that it fails
    expect(refused.stderr).toContain('"1.sql", line 2: this will probably fail: BEGIN');
  });

  it.each(['check', 'plan'])('and weft plan refuse what only psql knows, with path and line, and say what to do instead: %s', async (command) => {
    const folder = makeFolder({ '1.sql': 'select 1;\n\\i 2.sql\n\\set x\n' });
    const { code, stderr } = await run([command, folder]);
    expect(code).toBe(2);
    expect(stderr.replace(/\s+/g, ' ')).toContain(
      '"1.sql", line 2: \\i is a command of psql, which no server knows. Name the file in a step of its own in weft.yaml, in its place. (1 more of the kind in this file.)',
    );
  });
});
