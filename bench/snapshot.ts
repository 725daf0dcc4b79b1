/**
 * What it costs to read the catalog: `npm run bench:snapshot`. Schemas of so many tables, with keys, foreign keys, checks and indexes; in each the fingerprint
 * is taken by sessions that have just connected, as a deployment does, and once more by the same session. How to read it: bench/README.md.
 *
 *   --tables N,…            (1250,2500,5000)
 *   --runs N                sessions each (5)
 *   --tables-in-a-schema N  (all in one)
 *   --statistics            the server has statistics of its catalog, as behind an autovacuum
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { printConditions, printEnd } from './conditions.ts';
import { median, readNumber, readNumbers, renderTable, seconds } from './figures.ts';
import { startBenchServer } from './server.ts';

/** For the largest. */
const seconds_max = 3;
/** Linear: a table of the largest schema takes no more than this times what one of the smallest takes. */
const growth_max = 1.3;
const tables_in_a_transaction_count = 100;

const { values: options } = parseArgs({
  options: {
    tables: { type: 'string', default: '1250,2500,5000' },
    runs: { type: 'string', default: '5' },
    'tables-in-a-schema': { type: 'string', default: String(Number.MAX_SAFE_INTEGER) },
    statistics: { type: 'boolean', default: false },
  },
});
const sizes = readNumbers('tables', options.tables, 1).sort((a, b) => a - b);
const runs = readNumber('runs', options.runs, 1);
const tables_in_a_schema_count = readNumber('tables-in-a-schema', options['tables-in-a-schema'], 1);

printConditions('bench/snapshot');
const server = await startBenchServer();
let isMet = true;
try {
  const rows: string[][] = [];
  const perTable: number[] = [];
  for (const size of sizes) {
    const database = await server.createDatabase(`tables_${size}`, true);
    await makeTables(database, size);
    if (options.statistics) await server.query(database, 'vacuum analyze');
    await server.checkpoint();
    const measured = [];
    for (let run = 0; run < runs; run++) measured.push(await measure(database));
    const first = median(measured.map(({ firstMs }) => firstMs));
    const least = Math.min(...measured.map(({ firstMs }) => firstMs));
    const cpu = Math.min(...measured.map(({ cpuMs }) => cpuMs));
    const again = median(measured.map(({ againMs }) => againMs));
    const [facts] = await server.query(
      database,
      `select count(*)::integer as rows, (select octet_length(weft._read_catalog()) / 1e6 as megabytes) from weft.snapshot()`,
    );
    perTable.push((Number.isNaN(cpu) ? least : cpu) / size);
    if (size === sizes.at(-1) && size >= 5000) isMet &&= least <= seconds_max * 1000;
    rows.push([
      String(size),
      String(facts.rows),
      Number(facts.megabytes).toFixed(1),
      seconds(first),
      seconds(least),
      seconds(cpu),
      ((1000 * cpu) / size).toFixed(0),
      seconds(again),
    ]);
  }
  console.log(`\n${renderTable(['tables', 'objects', 'MB', 's, first in its session', 'least', 'CPU s, least', 'CPU µs a table', 's, again'], rows)}\n`);
  const growth = (perTable.at(-1) ?? 0) / (perTable[0] ?? 1);
  isMet &&= growth <= growth_max;
  console.log(`a table of the largest takes ${growth.toFixed(2)} times what one of the smallest takes (linear: at most ${growth_max})`);
} finally {
  await server.stop();
}
printEnd();
process.exitCode = isMet ? 0 : 1;

function schemaOf(n: number): string {
  return n < tables_in_a_schema_count ? 's' : `s${Math.floor(n / tables_in_a_schema_count)}`;
}

function table(n: number): string {
  return `${schemaOf(n)}.t${n}`;
}

/** A table in ten has a comment and rights of its own, one in four a view and a trigger; nothing of it depends on chance. */
async function makeTables(database: string, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  try {
    await client.query(`create schema s; create function s.touch() returns trigger language plpgsql as 'begin return new; end'`);
    for (let from = 1; from <= count; from += tables_in_a_transaction_count) {
      const texts = [];
      for (let n = from; n < Math.min(from + tables_in_a_transaction_count, count + 1); n++) {
        const parent = n > 10 ? n - 10 : n;
        if (n % tables_in_a_schema_count === 0) texts.push(`create schema ${schemaOf(n)};`);
        texts.push(`create table ${table(n)} (
            id bigint generated always as identity primary key, code text not null unique, parent_id bigint references ${table(parent)}, amount numeric(12, 2) not null default 0 check (amount >= 0),
            label varchar(40), is_active boolean not null default true, seen_at timestamptz default now(), attributes jsonb);
          create index on ${table(n)} (parent_id); create index on ${table(n)} (seen_at desc, code);`);
        if (n % 4 === 0)
          texts.push(
            `create view ${schemaOf(n)}.v${n} as select t.id, t.code, p.code as parent from ${table(n)} as t left join ${table(parent)} as p on p.id = t.parent_id;`,
          );
        if (n % 4 === 1) texts.push(`create trigger touch before update on ${table(n)} for each row execute function s.touch();`);
        if (n % 10 === 0)
          texts.push(`comment on table ${table(n)} is 'The ${n}th.'; comment on column ${table(n)}.code is 'Short.'; grant select on ${table(n)} to public;`);
      }
      await client.query(texts.join('\n'));
    }
  } finally {
    await client.end();
  }
}

async function measure(database: string): Promise<{ firstMs: number; cpuMs: number; againMs: number }> {
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  try {
    const { rows } = await client.query('select pg_backend_pid() as pid');
    const cpuBeforeMs = cpuMsOf(rows[0].pid);
    const startMs = performance.now();
    await client.query('select weft.fingerprint()');
    const firstMs = performance.now() - startMs;
    const cpuMs = cpuMsOf(rows[0].pid) - cpuBeforeMs;
    const againStartMs = performance.now();
    await client.query('select weft.fingerprint()');
    return { firstMs, cpuMs, againMs: performance.now() - againStartMs };
  } finally {
    await client.end();
  }
}

/** What a process of this machine has worked, kernel included (/proc/PID/schedstat, the first number, nanoseconds); NaN where there is no such file. */
function cpuMsOf(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return Number.NaN;
  }
}
