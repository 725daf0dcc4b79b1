/**
 * Where statements begin and end, held against PostgreSQL's own grammar: libpg_query is the server's parser (18), compiled by others. What it
 * takes, the engine's scanner must cut in the same places. What no server takes is measured against psql, in scanner.test.ts.
 */
import fc from 'fast-check';
import { loadModule, parseSync } from 'libpg-query';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { CORPUS } from './corpus.ts';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  await loadModule();
  database = await freshDatabase();
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  client = await database.client();
  await client.query(`create function pg_temp.statements(p_pieces text[], out statements text[], out lines integer[]) language plpgsql as $$
    declare v_scanner weft._scanner := weft._new_scanner(); v_split record; v_text text; v_whole text[] := '{}'; v_at integer[] := '{}'; v_plain record;
    begin
      statements := '{}'; lines := '{}';
      for n in 1 .. cardinality(p_pieces) loop
        v_text := p_pieces[n];
        loop
          v_split := weft._split(v_scanner, v_text, n = cardinality(p_pieces));
          v_scanner := v_split.p_scanner;
          statements := statements || array(select weft._skip_comments(s) from unnest(v_split.statements) with ordinality as u (s, o) order by o);
          lines := lines || array(select weft._first_line(s, l) from unnest(v_split.statements, v_split.lines) with ordinality as u (s, l, o) order by o);
          v_whole := v_whole || v_split.statements;
          v_at := v_at || v_split.lines;
          exit when v_scanner.mode <> 'copy';
          v_scanner.mode := 'code';  -- no rows here: the parser knows none
          v_text := v_split.rest;
        end loop;
      end loop;
      -- what needs no scanner must come to the same
      for v_plain in
        select p.* from weft._cut_plain(p_pieces[1]) as p where cardinality(p_pieces) = 1
        union all
        select c.* from (select weft._mask(p_pieces[1], lower(p_pieces[1] collate "C")) as masked) as m cross join lateral weft._cut_masked(p_pieces[1], m.masked) as c
        where cardinality(p_pieces) = 1 and m.masked is not null
      loop
        if (v_plain.statements, v_plain.lines) is distinct from (v_whole, v_at) then
          raise exception 'cut in one go: % at %, by the scanner: % at %', v_plain.statements, v_plain.lines, v_whole, v_at;
        end if;
      end loop;
    end $$`);
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

interface Cut {
  readonly statements: readonly string[];
  readonly lines: readonly number[];
}

async function cutByEngine(pieces: readonly string[]): Promise<Cut> {
  const { rows } = await client.query('select * from pg_temp.statements($1)', [pieces]);
  return rows[0];
}

/** Each statement from its first token to its semicolon, and the line of that token. @throws SqlError when it is no SQL */
function cutByServer(text: string): Cut {
  const bytes = Buffer.from(text);
  const statements: string[] = [];
  const lines: number[] = [];
  for (const { stmt_location: begin = 0, stmt_len: length } of parseSync(text).stmts as { stmt_location?: number; stmt_len?: number }[]) {
    statements.push(bytes.subarray(begin, length ? begin + length : undefined).toString());
    lines.push(bytes.subarray(0, begin).toString().split('\n').length);
  }
  return { statements, lines };
}

/** The text in pieces, cut where the numbers say, also within a token. */
function inPieces(text: string, cuts: readonly number[]): string[] {
  const characters = [...text];
  const at = [...new Set(cuts.map((cut) => cut % (characters.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => characters.slice(from, at[index] ?? characters.length).join(''));
}

describe('a file of the corpus is cut where the server cuts it', () => {
  it.each(CORPUS)('%s', async (_, text) => {
    const cut = cutByServer(text);
    expect(cut.statements.length).toBeGreaterThan(0);
    expect(await cutByEngine([text])).toEqual(cut);
  });

  it.each(CORPUS)('%s: also when it comes in pieces of one character', async (_, text) => {
    expect(await cutByEngine([...text])).toEqual(cutByServer(text));
  });
});

/** What may stand between two tokens. */
const gap = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(' ', '\n', '\t', '  ', '\r\n', '\r', '\f', '\v') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '/* ; */',
      '/**/',
      '/*/*;*/;*/',
      "/* it's */",
      '/* " $$ -- */',
      '/*\n;\n*/',
      '-- ;\n',
      "--'\n",
      '--\r',
      '-- /* ;\r\n',
      '--$a$ "\n',
      '/***/',
      '/*//**/;*/',
      '/* ü */',
    ),
  },
);

/** A value, as one token or as several that stay one. */
const value = fc.constantFrom(
  '1',
  '1.5e3',
  '.5',
  '0x1F',
  '1_000',
  "''",
  "';'",
  "'it''s;'",
  "'C:\\'",
  "'\\\\;'",
  "E'it\\'s;'",
  "e'\\\\'",
  "E';\\n\\x3b\\\\'''",
  "E'a'\n'b\\';'",
  "'a' -- ;'\n ';b'",
  "'a'\r\n  \r\n';'",
  "U&'\\003b;'",
  "U&'!003b;' uescape '!'",
  "N';'",
  "B'01'",
  "X'3b'",
  '$$;$$',
  "$$it's; $a$ -- /* $$",
  '$a$;$$;$A$;$a$',
  '$ü$;$ü$',
  '$_1$;$_1$',
  '"a;b"',
  '"""; "',
  'U&"d\\003b;"',
  'a$b$c',
  'größe',
  '😀',
  '_x$1',
  'null::"char"',
  "date'2020-01-01'",
  "interval '1;' day",
  'array[1, 2]',
  '(select 1)',
  'case when true then 1 else 2 end',
  '$1',
  '-1',
  '+1',
  'E',
  'e.x',
  'x.e',
  '@ 1',
  '!! 1',
  '~1',
);
const operator = fc.constantFrom(
  '+',
  '-',
  '*',
  '/',
  '||',
  '- -',
  '->',
  '->>',
  '#>',
  '@>',
  '<>',
  '*/',
  '/+',
  '*-+',
  '<->',
  '/ -',
  '= any',
  'and',
  'or',
  '::text ||',
  '-@',
  '/@',
);

/** Words, values and gaps into one statement: a gap between any two. */
const glue = (parts: readonly fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
  fc.tuple(...parts.flatMap((part) => [part, gap])).map((tokens) => tokens.join(''));
const words = (text: string): fc.Arbitrary<string>[] => text.split(' ').map((word) => fc.constant(word));

const expression = fc
  .tuple(value, fc.array(fc.tuple(gap, operator, gap, value), { maxLength: 3 }))
  .map(([first, more]) => first + more.map((tokens) => tokens.join('').replace('= any', '= ')).join(''));

const bodyStatement = fc.oneof(
  glue([...words('select'), expression]),
  glue([...words('insert into t values ('), expression, ...words(')')]),
  glue([...words('select case when true then 1 end as x , case x when 1 then case when false then 2 end end')]),
);

const statement: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: glue([...words('select'), expression]) },
  { weight: 2, arbitrary: glue([...words('insert into "t;" ( a , "b;" ) values ('), expression, fc.constant(','), expression, ...words(')')]) },
  { weight: 1, arbitrary: glue([...words('create table if not exists begin_x ( "begin" int default ('), value, ...words(') , n int check ( n > 0 ) )')]) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        glue(words('create')),
        fc.constantFrom('', 'or replace '),
        glue(words('function f ( a int default 1 ) returns int language sql begin atomic')),
        fc.array(glue([bodyStatement, fc.constant(';')]), { maxLength: 3 }),
        glue(words('end')),
      )
      .map((parts) => parts.flat().join('')),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        glue(words('create or replace procedure p ( ) begin atomic')),
        fc.array(glue([bodyStatement, fc.constant(';')]), { maxLength: 3 }),
        glue(words('end')),
      )
      .map((parts) => parts.flat().join('')),
  },
  {
    weight: 1,
    arbitrary: glue([
      ...words('create rule r as on insert to t do also ('),
      bodyStatement,
      fc.constant(';'),
      bodyStatement,
      fc.constantFrom(';', ''),
      ...words(')'),
    ]),
  },
  {
    weight: 1,
    arbitrary: glue([
      ...words('create function g ( ) returns void language plpgsql as'),
      fc.constantFrom("'begin; end'", '$$begin; end$$', '$b$ begin null; end; $b$'),
    ]),
  },
  { weight: 1, arbitrary: glue([...words('do'), fc.constantFrom('$$begin; end$$', "E'begin; \\' end'", '$x$;$x$ language plpgsql')]) },
  { weight: 1, arbitrary: glue([...words('comment on table t is'), fc.constantFrom("';'", "E'\\';'", 'null', '$$;$$')]) },
  { weight: 1, arbitrary: glue(words('copy t ( a , "b;" ) from stdin')) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'begin',
      'commit',
      'end',
      'start transaction',
      'rollback',
      'savepoint "a;"',
      'vacuum',
      'set search_path = a, b',
      "select pg_catalog.set_config('search_path', '', false)",
    ),
  },
  {
    weight: 1,
    arbitrary: glue([
      ...words('create event trigger e on ddl_command_end when tag in ('),
      fc.constantFrom("';'", "'a', 'b'"),
      ...words(') execute function f ( )'),
    ]),
  },
);

const file = fc
  .tuple(gap, fc.array(fc.tuple(statement, gap, fc.constantFrom(';', ';;', '; ;', ';\n', ';/* ; */')), { minLength: 1, maxLength: 8 }), fc.boolean())
  .map(([before, parts, isOpen]) => {
    const text = before + parts.flat().join('');
    return isOpen ? text.replace(/;[^;]*$/, '') : text;
  });

const seeded = { seed: 20261128, numRuns: 1500, endOnFailure: false };

describe('files that are made up', () => {
  const given = (text: string): Cut => {
    try {
      return cutByServer(text);
    } catch {
      return fc.pre(false) as never; // two tokens that do not go together
    }
  };

  it('are cut where the server cuts them', async () => {
    await fc.assert(
      fc.asyncProperty(file, async (text) => {
        expect(await cutByEngine([text])).toEqual(given(text));
      }),
      seeded,
    );
  }, 120_000);

  it('are cut there in whatever pieces they come', async () => {
    await fc.assert(
      fc.asyncProperty(file, fc.array(fc.nat(), { minLength: 1, maxLength: 12 }), async (text, cuts) => {
        expect(await cutByEngine(inPieces(text, cuts))).toEqual(given(text));
      }),
      seeded,
    );
  }, 120_000);

  it('are cut there when they are long, and no statement has a line of its own', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 3 }), fc.constantFrom('||', ',', '-', '/'), async (files, glueing) => {
        const long = `select ${Array.from({ length: 1500 }, (_, n) => `'${n};'`).join(glueing)}`;
        const text = `${files.join('\n;')}\n;${long};${files[0]}`;
        expect(await cutByEngine([text])).toEqual(given(text));
      }),
      { ...seeded, numRuns: 60 },
    );
  }, 120_000);
});
