/**
 * How fast the engine finds where statements end: `npm run bench:scan`. SQL as teams write it, and shapes that scanners are slow on, as the engine
 * reads them: in chunks of 1 MiB. The time is that of `weft._split`; and beside it that of `weft._mask` and `weft._cut_plain`, which are asked first of a
 * file of one chunk, and take it or say at once that they do not. How to read it: bench/README.md.
 *
 *   --sizes MB,…       of the SQL as teams write it (1,2.5,5,10)
 *   --shape-mb N       of each of the shapes, and twice that: the time should double (0.25)
 *   --rounds N         of which the fastest counts (3)
 */
import { parseArgs } from 'node:util';
import pg from 'pg';
import { makeChangesets } from './changesets.ts';
import { printConditions, printEnd } from './conditions.ts';
import { readNumber, renderTable } from './figures.ts';
import { startBenchServer } from './server.ts';

/** What is aimed at, for SQL as teams write it. */
const mb_per_second_target = 8;
/** Linear: ten times the text takes at most so many times the time. */
const growth_ratio_max = 13;

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1,2.5,5,10' },
    'shape-mb': { type: 'string', default: '0.25' },
    rounds: { type: 'string', default: '3' },
  },
});
const sizes = options.sizes.split(',').map(Number);
const shapeMb = Number(options['shape-mb']);
const rounds = readNumber('rounds', options.rounds, 1);

/** One unit of each is repeated; none of them has a line's end or a semicolon where that would help. */
const SHAPES: Readonly<Record<string, readonly [head: string, unit: string, tail: string]>> = {
  'a name without an end': ['select ', 'a', ';'],
  'hexadecimal digits in a string': ["select '", '0123456789abcdef', "';"],
  'operators without blanks': ['select ', 'a+b*', 'c;'],
  'strings without blanks': ["select ''", "||'x'", ';'],
  'strings with backslashes': ['select ', "'a\\b',", '1;'],
  'escape strings': ['select ', "E'a\\'b',", '1;'],
  'nothing but quotes': ['select ', "''", ';'],
  'nothing but dollar quotes': ['select ', '$$a$$,', '1;'],
  'comments without blanks': ['', '/*x*/', 'select 1;'],
  'comments in comments': ['', '/*', ''],
  'line comments that are one': ['', '-- x ', '\nselect 1;'],
  parentheses: ['select ', '(', ';'],
  semicolons: ['', ';', ''],
  'rows of a long INSERT': ['insert into t values ', "(1, 'some text', null, '2020-01-01', 'it''s'),\n", '(1);'],
  'a long BEGIN ATOMIC': ['create function f() returns int begin atomic ', 'select case when a then 1 end;\n', 'end;'],
  'a dollar quote of another kind': ['do $a$ $a$; select $b$', 'prose, and more; ', '$b$;'],
  'a dollar in a name': ['insert into t values ', "(1, 'x'), ", '(price$now());'],
  'a long dollar quote': ['do $x$ begin ', "if a = 'x' then return; end if;\n", 'end $x$;'],
};

/** Cut into chunks, as artifacts are. @returns in the function: statements found, and milliseconds */
const SCAN = `create function pg_temp.scan(p_head text, p_unit text, p_count integer, p_tail text, out statements integer, out ms double precision) language plpgsql as $$
declare
  v_text     text := concat(p_head, repeat(p_unit, p_count), p_tail);
  v_chunks   text[] := array(select substr(v_text, n, 1048576) from generate_series(1, length(v_text), 1048576) as n order by n);
  v_scanner  weft._scanner := weft._new_scanner();
  v_split    record;
  v_begun    timestamptz := clock_timestamp();
begin
  statements := 0;
  for n in 1 .. cardinality(v_chunks) loop
    v_split := weft._split(v_scanner, v_chunks[n], n = cardinality(v_chunks));
    v_scanner := v_split.p_scanner;
    statements := statements + cardinality(v_split.statements);
  end loop;
  ms := extract(epoch from clock_timestamp() - v_begun) * 1000;
end $$`;

const CUT = `create function pg_temp.cut(p_head text, p_unit text, p_count integer, p_tail text, out is_taken boolean, out ms double precision) language plpgsql as $$
declare
  v_text   text := concat(p_head, repeat(p_unit, p_count), p_tail);
  v_begun  timestamptz := clock_timestamp();
begin
  is_taken :=
    exists (select from (select weft._mask(v_text, lower(v_text collate "C")) as masked offset 0) as m cross join lateral weft._cut_masked(v_text, m.masked) as c where m.masked is not null)
    or exists (select from weft._cut_plain(v_text));
  ms := extract(epoch from clock_timestamp() - v_begun) * 1000;
end $$`;

printConditions('bench/scan');
const server = await startBenchServer();
try {
  const database = await server.createDatabase('scan', true);
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  await client.query(SCAN);
  await client.query(CUT);
  const best = async (name: 'scan' | 'cut', head: string, unit: string, count: number, tail: string) => {
    const { rows } = await client.query(`select x.* from generate_series(1, $5) as r, lateral pg_temp.${name}($1, $2, $3 + 0 * r, $4) as x`, [
      head,
      unit,
      count,
      tail,
      rounds,
    ]);
    return rows.reduce((fastest, row) => (row.ms < fastest.ms ? row : fastest));
  };

  const sql = makeChangesets({ count: 350 })
    .files.map(({ content }) => content)
    .join('');
  const table: string[][] = [];
  const times: number[] = [];
  let isFast = true;
  for (const size of sizes) {
    const bytes = Math.round(size * 1e6);
    const { statements, ms } = await best('scan', '', sql, Math.ceil(bytes / sql.length), '');
    const mb = (Math.ceil(bytes / sql.length) * sql.length) / 1e6;
    times.push(ms / mb);
    isFast &&= mb / (ms / 1000) >= mb_per_second_target;
    table.push([mb.toFixed(1), String(statements), (ms / 1000).toFixed(2), (mb / (ms / 1000)).toFixed(1)]);
  }
  console.log(`\n${renderTable(['MB of changesets', 'statements', 's', 'MB/s'], table)}\n`);

  const shapes: string[][] = [];
  for (const [name, [head, unit, tail]] of Object.entries(SHAPES)) {
    const count = Math.max(1, Math.round((shapeMb * 1e6) / unit.length));
    const once = await best('scan', head, unit, count, tail);
    const twice = await best('scan', head, unit, 2 * count, tail);
    const cut = [await best('cut', head, unit, count, tail), await best('cut', head, unit, 2 * count, tail)];
    shapes.push([
      name,
      ...[once, twice].map(({ ms }) => (ms / 1000).toFixed(2)),
      (twice.ms / once.ms).toFixed(2),
      cut[0].is_taken ? 'yes' : 'no',
      ...cut.map(({ ms }) => (ms / 1000).toFixed(3)),
    ]);
  }
  console.log(
    `${renderTable(['shape', `s for ${shapeMb} MB`, `s for ${2 * shapeMb} MB`, 'ratio', 'cut in one go', `s for ${shapeMb} MB`, `s for ${2 * shapeMb} MB`], shapes)}\n`,
  );
  const isLinear = Math.max(...times) <= (Math.min(...times) * growth_ratio_max) / 10;
  console.log(`at least ${mb_per_second_target} MB/s: ${isFast ? 'yes' : 'NO'}; linear: ${isLinear ? 'yes' : 'NO'}`);
  if (!isFast || !isLinear) process.exitCode = 1;
  await client.end();
} finally {
  await server.stop();
}
printEnd();
