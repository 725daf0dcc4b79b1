/**
 * What history costs the next deployment: `npm run bench:history`. Two databases, equal but for what lies behind them: one deployment of a hundred
 * steps, or a thousand of them. The same bundle is deployed to both, with new files, in pairs, in changing order. How to read it: bench/README.md.
 *
 *   --deployments N  behind the one database (1000); behind the other there is one
 *   --steps N        of each of them (100)
 *   --files N        new ones in the deployment that is measured (50); those of the history stand in it, too
 *   --pairs N        (9)
 *   --functions      with track_functions, and where the time goes on both sides
 *   --statistics S   of the engine's tables: none, fresh, or both in turn (both)
 */
import { parseArgs } from 'node:util';
import { readInline } from '../src/bundle/inline.ts';
import { connectTo } from '../src/database/connect.ts';
import type { InlineFile } from '../src/domain/request.ts';
import { makeChangesets } from './changesets.ts';
import { printConditions, printEnd } from './conditions.ts';
import { median, readNumber, renderTable } from './figures.ts';
import { renderLongHistory } from './long_history.ts';
import { deployOver } from './open_session.ts';
import { type BenchServer, startBenchServer } from './server.ts';
import { TimedSession } from './timed_session.ts';

/** That the median of the pairs may be more with history than without: as much as pairs of equals differ by. */
const ratio_max = 1.05;
const readings_count = 5;
const functions_shown_count = 15;

const { values: options } = parseArgs({
  options: {
    deployments: { type: 'string', default: '1000' },
    steps: { type: 'string', default: '100' },
    files: { type: 'string', default: '50' },
    pairs: { type: 'string', default: '9' },
    statistics: { type: 'string', default: 'both' },
    functions: { type: 'boolean', default: false },
  },
});
const deployments = readNumber('deployments', options.deployments, 1);
const steps = readNumber('steps', options.steps, 1);
const files = readNumber('files', options.files, 1);
const pairs = readNumber('pairs', options.pairs, 1);
const kinds = options.statistics === 'both' ? ['none', 'fresh'] : [options.statistics];

/** What people and programs ask while there is that history. The first two have as many deployments to show as there are, up to their page. */
const READINGS: readonly (readonly [string, string])[] = [
  ['the newest 20 deployments (there are 2)', 'select weft.list_deployments(20)'],
  ['the newest 2 deployments', 'select weft.list_deployments(2)'],
  ['weft.deployments, 10 of them', 'select * from weft.deployments order by created_at desc limit 10'],
  ['one of them', 'select weft.status(id) from weft.deployments order by created_at desc limit 1'],
  ['what is in the history', 'select weft.list_history()'],
  ['files half done', 'select weft.list_begun()'],
  ['drift', 'select weft.describe_drift()'],
  ['what an undo would run', 'select weft.plan_undo()'],
  ['its receipt', `select weft.receipt(id) from weft.deployments order by created_at desc limit 1`],
  ['what a deployment of the same would do', 'select weft.plan(manifest) from weft._deployments order by created_at desc limit 1'],
  ['a sweep that takes nothing', 'call weft.sweep()'],
];

const old: InlineFile[] = Array.from({ length: steps }, (_, n) => ({
  path: `a/${String(n).padStart(4, '0')}.sql`,
  content: `create table public.old_${n} (id integer primary key, name text);\n`,
}));
const undo: InlineFile[] = old.map(({ path }, n) => ({ path: path.replace('a/', 'undo/'), content: `drop table public.old_${n};\n` }));
const makeBundle = (more: string) => ({
  path: 'weft.yaml',
  content: `name: bench\nphases:\n  - { name: main, transaction: single, steps: [{ run: "a/*.sql", undo: "undo/*.sql" }${more}] }\n`,
});
const before = await readInline([makeBundle(''), ...old, ...undo], 'bench');
const added = makeChangesets({ count: files, seed: 1 }).files.map(({ content }, n) => ({ path: `b/${String(n).padStart(4, '0')}.sql`, content }));
const next = await readInline([makeBundle(', { run: "b/*.sql" }'), ...old, ...undo, ...added], 'bench');

type Side = 'one' | 'many';

/** Wall time, and what the backend worked in user mode. */
interface Took {
  readonly ms: number;
  readonly userMs: number;
}

printConditions('bench/history');
console.log(
  `${deployments} deployments of ${steps} steps behind one database, one behind the other; then ${files} new files beside those, one phase, transaction: single`,
);
const server = await startBenchServer({ ...(options.functions && { track_functions: 'all' }), autovacuum: 'off', max_locks_per_transaction: '256' });
try {
  await prepare(server);
  for (const statistics of kinds) await showPairs(server, statistics);
} finally {
  await server.stop();
}
printEnd();

/** One database with one deployment behind it, and a copy of it with many. */
async function prepare(bench: BenchServer): Promise<void> {
  const one = await bench.createDatabase('one_none', true);
  await runDeployment(one, before);
  const many = await copyDatabase(bench, one, 'many_none');
  for (const text of renderLongHistory(deployments)) await bench.query(many, text);
  const [size] = await bench.query(
    many,
    `select count(*)::int as steps, (select count(*)::int from weft._events) as events, pg_size_pretty(pg_database_size(current_database())) as size from weft._steps`,
  );
  console.log(`${size.steps} steps, ${size.events} events, ${size.size}`);
  for (const [side, url] of Object.entries({ one, many })) await bench.query(await copyDatabase(bench, url, `${side}_fresh`), 'analyze');
}

async function copyDatabase(bench: BenchServer, url: string, name: string): Promise<string> {
  const copy = new URL(url);
  const from = copy.pathname.slice(1);
  copy.pathname = '/postgres';
  await bench.query(copy.href, `create database ${name} template ${from} owner bench`);
  copy.pathname = `/${name}`;
  return copy.href;
}

async function showPairs(bench: BenchServer, statistics: string): Promise<void> {
  const base = new URL(await bench.createDatabase(`base_${statistics}`, false));
  const at = (side: Side): string => {
    base.pathname = `/${side}_${statistics}`;
    return base.href;
  };
  const measured: Record<Side, Took>[] = [];
  let last: Record<Side, string> = { one: '', many: '' };
  for (let pair = 0; pair <= pairs; pair++) {
    const run = async (side: Side) => {
      last = { ...last, [side]: await copyDatabase(bench, at(side), `run_${statistics}_${side}_${pair}`) };
      await bench.checkpoint();
      return runDeployment(last[side], next);
    };
    const times = pair % 2 === 0 ? { one: await run('one'), many: await run('many') } : await inOtherOrder(run);
    if (pair > 0) measured.push(times); // the first one warms up
  }
  const ratio = median(measured.map(({ one, many }) => many.ms / one.ms));
  const userRatio = median(measured.map(({ one, many }) => many.userMs / one.userMs));
  console.log(`\nstatistics: ${statistics}`);
  console.log(
    renderTable(
      ['pair', 'one before: ms', 'many before: ms', 'ratio', 'one before: user ms', 'many before: user ms', 'ratio'],
      [
        ...measured.map((pair, index) => [String(index + 1), ...showPair(pair), (pair.many.userMs / pair.one.userMs).toFixed(3)]),
        ['median', ...showPair({ one: middle(measured.map(({ one }) => one)), many: middle(measured.map(({ many }) => many)) }, ratio), userRatio.toFixed(3)],
      ],
    ),
  );
  if (Math.min(ratio, Number.isNaN(userRatio) ? ratio : userRatio) > ratio_max) process.exitCode = 1;
  if (options.functions) await showFunctions(bench, last);
  const rows: string[][] = [];
  for (const [what, text] of READINGS)
    rows.push([what, (await timeReading(bench, last.one, text)).toFixed(1), (await timeReading(bench, last.many, text)).toFixed(1)]);
  console.log(`\n${renderTable(['reading, after it', 'one before: ms', 'many before: ms'], rows)}`);
}

/** Where the time of the last deployment of each side went. */
async function showFunctions(bench: BenchServer, last: Record<Side, string>): Promise<void> {
  const ask = `select funcname as name, self_time from pg_stat_user_functions where schemaname = 'weft'`;
  const one = new Map((await bench.query(last.one, ask)).map(({ name, self_time }) => [name as string, self_time as number]));
  const many = (await bench.query(last.many, ask)).map(({ name, self_time }) => ({ name: name as string, one: one.get(name) ?? 0, many: self_time as number }));
  const rows = many.sort((a, b) => b.many - b.one - (a.many - a.one)).slice(0, functions_shown_count);
  console.log(
    `\n${renderTable(
      ['function', 'one before: self ms', 'many before: self ms'],
      rows.map((row) => [row.name, row.one.toFixed(1), row.many.toFixed(1)]),
    )}`,
  );
}

function middle(all: readonly Took[]): Took {
  return { ms: median(all.map(({ ms }) => ms)), userMs: median(all.map(({ userMs }) => userMs)) };
}

function showPair({ one, many }: Record<Side, Took>, ratio = many.ms / one.ms): string[] {
  return [one.ms.toFixed(0), many.ms.toFixed(0), ratio.toFixed(3), one.userMs.toFixed(0), many.userMs.toFixed(0)];
}

async function inOtherOrder(run: (side: Side) => Promise<Took>): Promise<Record<Side, Took>> {
  const many = await run('many');
  return { many, one: await run('one') };
}

/** @returns milliseconds: the median of several, connecting included */
async function timeReading(bench: BenchServer, url: string, text: string): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < readings_count; n++) {
    const startMs = performance.now();
    await bench.query(url, text);
    times.push(performance.now() - startMs);
  }
  return median(times);
}

/** From the first byte that is sent to the server's last answer, in a session that is open already; of the backend's work its connecting is part. */
async function runDeployment(url: string, bundle: typeof next): Promise<Took> {
  const connect = connectTo({ connectionString: url, transport: 'tcp' });
  const session = new TimedSession(await connect());
  const startMs = performance.now();
  await deployOver(session, connect, bundle);
  return { ms: session.answeredMs - startMs, userMs: session.backendCpuMs };
}
