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
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { readInline } from '../src/bundle/inline.ts';
import { wantedChunks } from '../src/bundle/source.ts';
import { connectTo } from '../src/database/connect.ts';
import type { Connect, Session } from '../src/database/session.ts';
import { deploy } from '../src/deployment/deploy.ts';
import { type Relay, startRelay } from '../src/dev/relay.ts';
import { asBundleFiles, DEFAULT_SEED, makeChangesets, SCHEMA } from './changesets.ts';
import { printConditions, printEnd } from './conditions.ts';
import { median, readNumber, readNumbers, renderTable, seconds } from './figures.ts';
import { type BenchServer, startBenchServer, throughPort } from './server.ts';
import { TimedSession } from './timed_session.ts';

/** What is aimed at, at every round trip. */
const ratio_target = 1.15;
const deadline_milliseconds = 30 * 60_000;
const warm_up_pairs = 3;
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
console.log(`${files} files, ${changesets.statements} statements, ${changesets.bytes} bytes, one phase, transaction: single`);
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

/** The first runs on a new server take up to three times as long: files are read, and segments of the write-ahead log made that later runs use again. */
async function warmUp(server: BenchServer, relay: Relay): Promise<void> {
  for (let pair = 1; pair <= warm_up_pairs; pair++) {
    await measure(server, relay, 'floor', `warm_floor_${pair}`);
    await measure(server, relay, 'engine', `warm_engine_${pair}`);
  }
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
  /** How long each wait of the engine's took: open, stage, CALL. */
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
  await (side === 'floor' ? runFloor(session) : runEngine(session, connect));
  await check(server, database);
  return { milliseconds: session.answeredMs - startMs, cpuMs: session.backendCpuMs, waitsMs: session.waitsMs, database };
}

async function runFloor(session: Session): Promise<void> {
  const [reply] = await session.pipeline([{ kind: 'simple', text: floorSql }]);
  await session.close();
  if (reply?.kind === 'error') throw reply.error;
}

/** Opens, stages and runs a deployment: everything that a deployment does but connecting. */
async function runEngine(session: Session, connect: Connect): Promise<void> {
  const { manifest } = bundle;
  const expires_at = new Date(Date.now() + deadline_milliseconds).toISOString();
  const request = { type: 'deploy', id: randomUUID(), audience: null, target: null, expires_at, mode: 'apply', manifest };
  let isFirst = true;
  const deployment = await deploy({
    // The first session is the open one; another only watches.
    connect: async () => {
      if (!isFirst) return connect();
      isFirst = false;
      return session;
    },
    order: { request: Buffer.from(JSON.stringify(request)), manifest, caller: 'bench', target: null, signature: null },
    chunks: (wanted) => wantedChunks(bundle, wanted),
    answerWhenStaged: true,
    deadlineMs: deadline_milliseconds,
  }).done;
  if (deployment.state !== 'succeeded') throw new Error(`the deployment is ${deployment.state}: ${JSON.stringify(deployment.error)}`);
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
  const engine = await measure(server, relay, 'engine', 'functions_engine');
  const functions = await server.query(
    engine.database,
    `select format('%s.%s', schemaname, funcname) as name, calls, total_time, self_time
     from pg_stat_user_functions where schemaname = 'weft' order by self_time desc limit $1`,
    [functions_shown_count],
  );
  console.log(
    `\nfloor ${seconds(floor.milliseconds)} s, engine ${seconds(engine.milliseconds)} s (${showWaits(engine.waitsMs)}), both with track_functions = all`,
  );
  console.log('The self time of weft._run_steps includes that of the statements of the files.\n');
  const rows = functions.map(({ name, calls, self_time, total_time }) => [name, String(calls), self_time.toFixed(1), total_time.toFixed(1)]);
  console.log(`${renderTable(['function', 'calls', 'self ms', 'total ms'], rows)}\n`);
}

function showWaits([open = Number.NaN, stage = Number.NaN, call = Number.NaN]: readonly number[]): string {
  return `open ${seconds(open)}, stage ${seconds(stage)}, CALL ${seconds(call)}`;
}
