/**
 * What the engine costs beside the floor: `npm run bench:overhead`. The floor is what the server itself needs: the same SQL as one simple query,
 * BEGIN, everything, COMMIT. Both go through the same relay, from sessions that are open already, each to a database of its own, one after the
 * other and in changing order. How to read it: bench/README.md.
 *
 *   --files N          changesets, a file each (500)
 *   --pairs N          (5)
 *   --round-trip MS,…  in milliseconds, half of it each way (0,80)
 *   --seed N
 *   --functions        instead of pairs: one run with track_functions, and where the time goes in it
 */
import { parseArgs } from 'node:util';
import { readInline } from '../src/bundle/inline.ts';
import { connectTo } from '../src/database/connect.ts';
import type { Session } from '../src/database/session.ts';
import { type Relay, startRelay } from '../src/dev/relay.ts';
import { asBundleFiles, DEFAULT_SEED, makeChangesets, SCHEMA } from './changesets.ts';
import { printConditions, printEnd } from './conditions.ts';
import { median, readNumber, readNumbers, renderTable, seconds } from './figures.ts';
import { deployOver } from './open_session.ts';
import { type BenchServer, startBenchServer, throughPort } from './server.ts';
import { TimedSession } from './timed_session.ts';

/** What is aimed at, at every round trip. */
const ratio_target = 1.15;
const warm_up_pairs_min = 3;
const warm_up_pairs_max = 10;
/** Steady: the last two floors are no more than this above the fastest. */
const steady_ratio_max = 1.1;
const functions_shown_count = 25;
/** One transaction that makes hundreds of tables holds thousands of locks. For both sides; the default is 64. */
const max_locks_per_transaction = '256';

type Side = 'floor' | 'engine';
type Pair = Readonly<Record<Side, Measured>>;

const { values: options } = parseArgs({
  options: {
    files: { type: 'string', default: '500' },
    pairs: { type: 'string', default: '5' },
    'round-trip': { type: 'string', default: '0,80' },
    seed: { type: 'string', default: String(DEFAULT_SEED) },
    functions: { type: 'boolean', default: false },
  },
});
const files = readNumber('files', options.files, 1);
const pairs = readNumber('pairs', options.pairs, 1);
const roundTripsMs = readNumbers('round-trip', options['round-trip'], 0);
const changesets = makeChangesets({ count: files, seed: readNumber('seed', options.seed, 0) });
const bundle = await readInline(asBundleFiles(changesets, 'single'), 'bench');
const floorSql = `begin;\n${changesets.files.map(({ content }) => content).join('')}commit;\n`;

printConditions('bench/overhead');
console.log(`${files} files, ${changesets.statements.length} statements, ${changesets.bytes} bytes, one phase, transaction: single`);
const server = await startBenchServer({ max_locks_per_transaction, ...(options.functions && { track_functions: 'all' }) });
try {
  const relay = await startRelay({ to: server });
  try {
    if (options.functions) await showFunctions(server, relay);
    else await showPairs(server, relay);
  } finally {
    await relay.stop();
  }
} finally {
  await server.stop();
}
printEnd();

async function showPairs(server: BenchServer, relay: Relay): Promise<void> {
  console.log(`one transaction of it holds ${await countLocks(server)} locks in the shared table`);
  await warmUp(server, relay);
  const summaries: string[][] = [];
  for (const roundTripMs of roundTripsMs) {
    relay.setDelay(roundTripMs / 2);
    const measured: Pair[] = [];
    for (let pair = 1; pair <= pairs; pair++) {
      const run = (side: Side) => measure(server, relay, side, `${side}_${roundTripMs}_${pair}`);
      if (pair % 2 === 1) measured.push({ floor: await run('floor'), engine: await run('engine') });
      else measured.push(await inOtherOrder(run));
    }
    console.log(`\nround trip ${roundTripMs} ms\n${renderPairs(measured)}`);
    summaries.push([`${roundTripMs} ms`, ...summarise(measured)]);
  }
  const head = [
    'round trip',
    'floor s, median',
    'engine s, median',
    'least ratio',
    'median ratio',
    'fastest / fastest',
    'user CPU ratio',
    `median ≤ ${ratio_target}`,
  ];
  console.log(`\n${renderTable(head, summaries)}\n`);
}

/**
 * Runs pairs that do not count until the floor is steady. The first ones on a new server take up to three times as long: segments of the
 * write-ahead log are made that later runs use again, and the file system passes over the inodes of files that were deleted a while ago.
 */
async function warmUp(server: BenchServer, relay: Relay): Promise<void> {
  const floors: number[] = [];
  let isSteady = false;
  while (!isSteady && floors.length < warm_up_pairs_max) {
    const pair = floors.length + 1;
    floors.push((await measure(server, relay, 'floor', `warm_floor_${pair}`)).milliseconds);
    await measure(server, relay, 'engine', `warm_engine_${pair}`);
    isSteady = pair >= warm_up_pairs_min && Math.max(...floors.slice(-2)) <= Math.min(...floors) * steady_ratio_max;
  }
  console.log(`warm-up, floor: ${floors.map(seconds).join(', ')} s${isSteady ? '' : ', which is NOT steady'}`);
}

async function inOtherOrder(run: (side: Side) => Promise<Measured>): Promise<Pair> {
  const engine = await run('engine');
  return { engine, floor: await run('floor') };
}

function renderPairs(measured: readonly Pair[]): string {
  const head = ['pair', 'floor s', 'engine s', 'engine / floor', 'floor user s', 'engine user s', 'of the engine'];
  const rows = measured.map(({ floor, engine }, index) => [
    `${index + 1} (${index % 2 === 0 ? 'floor' : 'engine'} first)`,
    seconds(floor.milliseconds),
    seconds(engine.milliseconds),
    (engine.milliseconds / floor.milliseconds).toFixed(3),
    (floor.cpuMs / 1000).toFixed(2),
    (engine.cpuMs / 1000).toFixed(2),
    showWaits(engine.waitsMs),
  ]);
  return renderTable(head, rows);
}

function summarise(measured: readonly Pair[]): string[] {
  const times = (side: Side) => measured.map((pair) => pair[side].milliseconds);
  const ratios = measured.map(({ floor, engine }) => engine.milliseconds / floor.milliseconds);
  return [
    seconds(median(times('floor'))),
    seconds(median(times('engine'))),
    Math.min(...ratios).toFixed(3),
    median(ratios).toFixed(3),
    (Math.min(...times('engine')) / Math.min(...times('floor'))).toFixed(3),
    median(measured.map(({ floor, engine }) => engine.cpuMs / floor.cpuMs)).toFixed(3),
    median(ratios) <= ratio_target ? 'yes' : 'no',
  ];
}

interface Measured {
  /** From the first byte that is sent to the server's last answer. */
  readonly milliseconds: number;
  /** What the backend worked in user mode, in milliseconds of CPU, connecting included. */
  readonly cpuMs: number;
  /** How long each wait of the engine's took. */
  readonly waitsMs: readonly number[];
  /** The database it was done to. */
  readonly database: string;
}

async function measure(server: BenchServer, relay: Relay, side: Side, name: string): Promise<Measured> {
  const database = await server.createDatabase(name, true);
  await server.checkpoint();
  const connect = connectTo({ connectionString: throughPort(database, relay.tcpPort), transport: 'tcp' });
  const session = new TimedSession(await connect());
  const startMs = performance.now();
  await (side === 'floor' ? runFloor(session) : deployOver(session, connect, bundle));
  await check(server, database);
  return { milliseconds: session.answeredMs - startMs, cpuMs: session.backendCpuMs, waitsMs: session.waitsMs, database };
}

async function runFloor(session: Session): Promise<void> {
  const [reply] = await session.pipeline([{ kind: 'simple', text: floorSql }]);
  await session.close();
  if (reply?.kind === 'error') throw reply.error;
}

/** Both sides must have made the same. */
async function check(server: BenchServer, database: string): Promise<void> {
  const [row] = await server.query(database, `select count(*)::integer as count from pg_class where relnamespace = $1::regnamespace and relkind = 'r'`, [
    SCHEMA,
  ]);
  if (row.count !== files) throw new Error(`${row.count} tables were made of ${files}`);
}

/** How many locks one transaction holds before its commit. */
async function countLocks(server: BenchServer): Promise<number> {
  const session = await connectTo({ connectionString: await server.createDatabase('locks', false), transport: 'tcp' })();
  try {
    const text = `${floorSql.slice(0, -'commit;\n'.length)}select count(*) from pg_locks where pid = pg_backend_pid() and not fastpath;`;
    const [reply] = await session.pipeline([{ kind: 'simple', text }]);
    if (reply?.kind !== 'rows') throw reply?.kind === 'error' ? reply.error : new Error('no answer');
    return Number(reply.rows[0]?.count);
  } finally {
    await session.close();
  }
}

async function showFunctions(server: BenchServer, relay: Relay): Promise<void> {
  await warmUp(server, relay);
  const floor = await measure(server, relay, 'floor', 'functions_floor');
  const executed = await executeOneByOne(server);
  const least = await executeTheLeast(server);
  const engine = await measure(server, relay, 'engine', 'functions_engine');
  const functions = await server.query(
    engine.database,
    `select format('%s.%s', schemaname, funcname) as name, calls, total_time, self_time
     from pg_stat_user_functions where schemaname = 'weft' order by self_time desc limit $1`,
    [functions_shown_count],
  );
  const line = (what: string, wallMs: number, userMs: number, more = '') => [what, seconds(wallMs), (userMs / 1000).toFixed(2), more];
  const sides = [
    line('floor', floor.milliseconds, floor.cpuMs),
    line('one function that executes the same statements', executed.answeredMs, executed.backendCpuMs),
    line('that, cutting the files and reading the catalog itself', least.answeredMs, least.backendCpuMs),
    line('engine', engine.milliseconds, engine.cpuMs, showWaits(engine.waitsMs)),
  ];
  console.log(`\n${renderTable(['with track_functions = all', 's', 'user s', ''], sides)}\n`);
  const rows = functions.map(({ name, calls, self_time, total_time }) => [name, String(calls), self_time.toFixed(1), total_time.toFixed(1)]);
  console.log(`${renderTable(['function', 'calls', 'self ms', 'total ms'], rows)}\n`);
}

/** The statements in a loop of EXECUTE: what it costs to be in PL/pgSQL at all. @returns milliseconds */
function executeOneByOne(server: BenchServer): Promise<Executed> {
  const text = `create function pg_temp.execute_all(p_statements text[]) returns void language plpgsql as
    $$ declare v_statement text; begin foreach v_statement in array p_statements loop execute v_statement; end loop; end $$`;
  return execute(server, 'executed', [
    { kind: 'simple', text },
    { kind: 'statement', text: 'select pg_temp.execute_all($1::text[])', values: [asArray(changesets.statements)] },
  ]);
}

/**
 * The least that still knows where an error stands, what has run, and what the catalog is like behind it: each file is cut into statements, the
 * digests of these are kept, and so is the catalog, read once, with its hash. No lease, no history, no events, no receipt, nobody to tell of it.
 */
function executeTheLeast(server: BenchServer): Promise<Executed> {
  const text = `create temporary table ran (path integer, digest bytea); create temporary table met (fingerprint bytea, catalog text);
    create function pg_temp.execute_files(p_files text[]) returns void language plpgsql as $$
    declare v_file record; v_statement text; v_catalog text;
    begin
      for v_file in
        select f.path, c.statements
        from (select f.text, f.path, weft._mask(f.text, lower(f.text collate "C")) as masked from unnest(p_files) with ordinality as f (text, path) offset 0) as f
        cross join lateral (
          select s.statements from weft._cut_masked(f.text, f.masked) as s where f.masked is not null
          union all
          select s.statements from weft._cut_other(f.text) as s where f.masked is null) as c
        order by f.path
      loop
        foreach v_statement in array v_file.statements loop execute v_statement; end loop;
        insert into ran select v_file.path, sha256(convert_to(s.text, 'UTF8')) from unnest(v_file.statements) as s (text);
      end loop;
      v_catalog := weft._read_catalog();
      insert into met values (sha256(convert_to(v_catalog, 'UTF8')), v_catalog);
    end $$`;
  return execute(server, 'least', [
    { kind: 'simple', text },
    { kind: 'statement', text: 'select pg_temp.execute_files($1::text[])', values: [asArray(changesets.files.map(({ content }) => content))] },
  ]);
}

type Executed = Pick<TimedSession, 'answeredMs' | 'backendCpuMs'>;

/** In a database of its own, without the relay. @returns milliseconds */
async function execute(server: BenchServer, name: string, questions: Parameters<Session['pipeline']>[0]): Promise<Executed> {
  const session = new TimedSession(await connectTo({ connectionString: await server.createDatabase(name, true), transport: 'tcp' })());
  const startMs = performance.now();
  const replies = await session.pipeline(questions);
  for (const reply of replies) if (reply.kind === 'error') throw reply.error;
  await session.close();
  return { answeredMs: session.answeredMs - startMs, backendCpuMs: session.backendCpuMs };
}

function asArray(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`).join(',')}}`;
}

function showWaits(waitsMs: readonly number[]): string {
  return `${waitsMs.length === 1 ? '1 wait' : `${waitsMs.length} waits`}: ${waitsMs.map(seconds).join(', ')}`;
}
