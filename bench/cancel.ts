/**
 * How soon a request to cancel is seen: `npm run bench:cancel`. For each place where a run can be, a deployment is brought there, somebody in another session
 * asks for its end, and the clock runs from before that question until a third session sees that it is cancelled. How to read it: bench/README.md.
 *
 *   --runs N   of each place (10)
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { setLimits } from '../test/support/limits.ts';
import { type OrderOptions, stageFiles, until } from '../test/support/orders.ts';
import { printConditions, printEnd } from './conditions.ts';
import { median, readNumber, renderTable } from './figures.ts';
import { type BenchServer, startBenchServer } from './server.ts';

/** What the issue asks for: seen within a second. */
const milliseconds_max = 1000;
const look_every_ms = 2;

const { values: options } = parseArgs({ options: { runs: { type: 'string', default: '10' } } });
const runs = readNumber('runs', options.runs, 1);

interface Place {
  readonly files: Readonly<Record<string, string>>;
  readonly options?: OrderOptions;
  /** In a transaction of a session of its own, which stays open. */
  readonly inTheWay?: string;
  readonly limits?: Readonly<Record<string, number>>;
  readonly isThere: string;
}

const RUNNER = (of: string) => `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where ${of})`;
const SLEEPS = RUNNER(`a.wait_event = 'PgSleep'`);
const WAITS = RUNNER(`a.wait_event_type = 'Lock'`);
const phases = (phase: object) => JSON.stringify({ name: 'shop', phases: [{ name: 'main', lock_timeout: '1h', ...phase }] });
const hour_ms = 3_600_000;

const PLACES: Readonly<Record<string, Place>> = {
  'in a statement, single': { files: { '1.sql': 'insert into items values (0); select pg_sleep(3600);' }, isThere: SLEEPS, options: { transaction: 'single' } },
  'in a statement, none': { files: { '1.sql': 'insert into items values (0); select pg_sleep(3600);' }, isThere: SLEEPS, options: { transaction: 'none' } },
  'waiting for a lock': {
    files: { 'weft.yaml': phases({ transaction: 'single', steps: [{ run: '1.sql' }] }), '1.sql': 'alter table items add m int;' },
    inTheWay: 'lock table items in share mode',
    isThere: WAITS,
  },
  'between two tries for a lock': {
    files: { '1.sql': 'alter table items add m int;' },
    options: { transaction: 'single', lockTimeout: '10ms' },
    inTheWay: 'lock table items in share mode',
    limits: { lock_wait_between_ms: hour_ms, lock_wait_between_ms_max: hour_ms },
    isThere: `${SLEEPS} and exists (select from weft.events where kind = 'lock_not_available')`,
  },
  'in the pause of a batch': {
    files: {
      'weft.yaml': phases({ steps: [{ batch: '1.sql', size: 10, pause: '1h' }] }),
      '1.sql': 'update items set n = 1 where id in (select id from items where n is null order by id limit :size) returning id',
    },
    isThere: `${SLEEPS} and (select rounds from weft.batches) = 1`,
  },
  'in a round of a batch': {
    files: {
      'weft.yaml': phases({ steps: [{ batch: '1.sql', size: 10 }] }),
      '1.sql': 'update items set n = 1 from pg_sleep(3600) where id in (select id from items where n is null order by id limit :size) returning id',
    },
    isThere: SLEEPS,
  },
};

printConditions('bench/cancel');
const server = await startBenchServer();
try {
  const rows: string[][] = [];
  let worst = 0;
  for (const [what, place] of Object.entries(PLACES)) {
    const times: number[] = [];
    for (let run = 1; run <= runs; run += 1) times.push(await measure(server, place, `cancel_${rows.length}_${run}`));
    worst = Math.max(worst, ...times);
    rows.push([what, median(times).toFixed(0), Math.max(...times).toFixed(0)]);
  }
  console.log(`\n${renderTable(['where the run was', 'ms, median', 'ms, at most'], rows)}\n`);
  console.log(`seen within a second in each of ${runs} runs of each: ${worst <= milliseconds_max ? 'yes' : 'no'}`);
  process.exitCode = worst <= milliseconds_max ? 0 : 1;
} finally {
  await server.stop();
}
printEnd();

/** @returns milliseconds from the question until it is seen to be cancelled */
async function measure(of: BenchServer, { files, options: how, inTheWay, limits, isThere }: Place, name: string): Promise<number> {
  const url = await of.createDatabase(name, true);
  const [holder, runner, asker, watcher] = await Promise.all([connect(url), connect(url), connect(url), connect(url)]);
  try {
    await asker.query('create table items (id int primary key, n int); insert into items select generate_series(1, 100)');
    if (limits !== undefined) await setLimits(url, limits);
    const id = await stageFiles(url, files, how);
    if (inTheWay !== undefined) await holder.query(`begin; ${inTheWay}`);
    const over = runner.query(`call weft.run('${id}')`).catch(() => undefined);
    await until(url, isThere, 'it is there');
    const beganAt = performance.now();
    const asked = asker.query(`select weft.cancel('${id}', 'somebody')`);
    const state = `select state = 'cancelled' as is_cancelled from weft.deployments where id = '${id}'`;
    while (!(await watcher.query(state)).rows[0].is_cancelled) await sleep(look_every_ms);
    const milliseconds = performance.now() - beganAt;
    await Promise.all([asked, over]);
    return milliseconds;
  } finally {
    for (const client of [holder, runner, asker, watcher]) await client.end();
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
