/**
 * How often a deployment waits on the network, and what that costs: `npm run bench:round-trips`. The same changesets as 5 and as 500 files, the
 * same bytes, go through the relay, which counts the waits of the session that carries the deployment, and delays both directions. Each run
 * has a database of its own. How to read it: bench/README.md.
 *
 *   --changesets N    how many are joined into the files (500)
 *   --files A,B       into how many files (5,500)
 *   --round-trip MS,… in milliseconds, half of it each way (0,20,80)
 *   --transaction T   per-step, single or auto (per-step)
 */
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { readInline } from '../src/bundle/inline.ts';
import { type Bundle, wantedChunks } from '../src/bundle/source.ts';
import { connectTo } from '../src/database/connect.ts';
import { deploy } from '../src/deployment/deploy.ts';
import { type LocalWorker, startWorker } from '../src/dev/miniflare.ts';
import { type Relay, startRelay } from '../src/dev/relay.ts';
import { generateSecret } from '../src/trust/sign.ts';
import { asBundleFiles, makeChangesets } from './changesets.ts';
import { printConditions, printEnd } from './conditions.ts';
import { readNumber, readNumbers, renderTable, seconds } from './figures.ts';
import { type BenchServer, startBenchServer, throughPort } from './server.ts';
import { upload } from './upload.ts';

/** The longest that `Prefer: wait` allows. */
const wait_seconds = 300;

const WAYS = ['Worker, WebSocket', 'Worker, TCP', 'command line, TCP'] as const;
type Way = (typeof WAYS)[number];

interface Case {
  readonly way: Way;
  /** Whether the engine is there before; without it, this is the first deployment to a new database. */
  readonly engine: boolean;
  readonly files: number;
}

interface Run extends Case {
  readonly roundTripMs: number;
  /** The name of the target, too. */
  readonly database: string;
  /** Past the relay. */
  readonly url: string;
}

interface Measured {
  readonly waits: number;
  /** What the relay saw of the same without knowing the protocol; exact from some latency on. */
  readonly turns: number;
  readonly milliseconds: number;
}

const { values: options } = parseArgs({
  options: {
    changesets: { type: 'string', default: '500' },
    files: { type: 'string', default: '5,500' },
    'round-trip': { type: 'string', default: '0,20,80' },
    transaction: { type: 'string', default: 'per-step' },
  },
});
const count = readNumber('changesets', options.changesets, 1);
const fileCounts = readNumbers('files', options.files, 1);
const roundTripsMs = readNumbers('round-trip', options['round-trip'], 0);
const transaction = (['per-step', 'single', 'auto'] as const).find((one) => one === options.transaction);
if (transaction === undefined) throw new RangeError('--transaction is per-step, single or auto');

printConditions('bench/round-trips');
const server = await startBenchServer();
try {
  const relay = await startRelay({ to: server });
  try {
    process.exitCode = await measureAll(server, relay, transaction);
  } finally {
    await relay.stop();
  }
} finally {
  await server.stop();
}
printEnd();

/** @returns the exit code: 0 when the waits do not depend on the number of files */
async function measureAll(server: BenchServer, relay: Relay, transaction: 'per-step' | 'single' | 'auto'): Promise<number> {
  const cases = WAYS.flatMap((way) => [true, false].flatMap((engine) => fileCounts.map((files): Case => ({ way, engine, files }))));
  const runs: Run[] = [];
  for (const one of cases) {
    for (const roundTripMs of roundTripsMs) {
      const database = `bench_${runs.length + 1}`;
      runs.push({ ...one, roundTripMs, database, url: await server.createDatabase(database, one.engine) });
    }
  }
  const bundles = new Map<number, Bundle>();
  for (const files of fileCounts) {
    const changesets = makeChangesets({ count, files });
    console.log(`${files} files, ${changesets.statements.length} statements, ${changesets.bytes} bytes`);
    bundles.set(files, await readInline(asBundleFiles(changesets, transaction), 'bench'));
  }

  const secret = generateSecret();
  const worker = await startWorkerFor(runs, relay, secret);
  const measured = new Map<Run, Measured>();
  try {
    for (const run of runs) {
      const bundle = bundles.get(run.files);
      if (bundle === undefined) throw new Error('every number of files has its bundle');
      await server.checkpoint();
      const result = await measure(run, bundle, relay, worker, secret);
      measured.set(run, result);
      console.error(`${describe(run)}, ${run.files} files, ${run.roundTripMs} ms: ${result.waits} waits, ${seconds(result.milliseconds)} s`);
    }
  } finally {
    await worker.stop();
  }

  const waitsOf = (one: Case): string => [...new Set(runsOf(runs, one).map((run) => measured.get(run)?.waits))].sort().join(' or ');
  const rows = cases.map((one) => [
    describe(one),
    String(one.files),
    waitsOf(one),
    String(measured.get(slowestOf(runsOf(runs, one)))?.turns),
    ...runsOf(runs, one).map((run) => seconds(measured.get(run)?.milliseconds ?? Number.NaN)),
  ]);
  console.log(`\n${renderTable(['way', 'files', 'waits', `turns at ${Math.max(...roundTripsMs)} ms`, ...roundTripsMs.map((ms) => `s at ${ms} ms`)], rows)}\n`);
  const uneven = cases.filter((one) => waitsOf(one) !== waitsOf({ ...one, files: fileCounts[0] ?? 0 }) || waitsOf(one).includes(' '));
  console.log(uneven.length === 0 ? 'The waits do not depend on the number of files.' : `The waits differ: ${[...new Set(uneven.map(describe))].join('; ')}.`);
  return uneven.length === 0 ? 0 : 1;
}

function runsOf(runs: readonly Run[], { way, engine, files }: Case): Run[] {
  return runs.filter((run) => run.way === way && run.engine === engine && run.files === files);
}

function slowestOf(runs: readonly Run[]): Run {
  return runs.reduce((slowest, run) => (run.roundTripMs > slowest.roundTripMs ? run : slowest));
}

function describe({ way, engine }: Case): string {
  return `${way}, ${engine ? 'engine installed' : 'new database'}`;
}

/** One Worker with a target for each run. */
function startWorkerFor(runs: readonly Run[], relay: Relay, secret: string): Promise<LocalWorker> {
  const targets: Record<string, object> = {};
  const secrets: Record<string, string> = { CALLER_SECRET: secret };
  for (const { way, database, url } of runs) {
    const name = `${database.toUpperCase()}_URL`;
    const isTcp = way === 'Worker, TCP';
    secrets[name] = isTcp ? throughPort(url, relay.tcpPort) : url;
    targets[database] = {
      database: name,
      ...(isTcp ? { transport: 'tcp' } : { transport: 'websocket', proxy: `127.0.0.1:${relay.port}/v1`, insecure: true }),
    };
  }
  return startWorker({
    config: { targets, callers: { bench: { secrets: ['CALLER_SECRET'] } }, grants: [{ caller: 'bench', targets: ['*'], actions: ['deploy'] }] },
    secrets,
  });
}

async function measure(run: Run, bundle: Bundle, relay: Relay, worker: LocalWorker, secret: string): Promise<Measured> {
  relay.setDelay(run.roundTripMs / 2);
  relay.forget();
  const startMs = performance.now();
  const end =
    run.way === 'command line, TCP'
      ? await deployStraight(throughPort(run.url, relay.tcpPort), bundle)
      : await upload({ origin: worker.origin, target: run.database, secret, bundle, waitSeconds: wait_seconds });
  const milliseconds = performance.now() - startMs;
  if (end.state !== 'succeeded') throw new Error(`${describe(run)}: the deployment is ${end.state}: ${JSON.stringify(end.error)}`);
  // Others only watch: they are small.
  const carrier = relay.connections.reduce((largest, one) => (one.toServer.bytes > largest.toServer.bytes ? one : largest));
  return { waits: carrier.waits, turns: carrier.turns, milliseconds };
}

/** As the command line does without a Worker. */
function deployStraight(connectionString: string, bundle: Bundle): Promise<{ state: string; error?: unknown }> {
  const { manifest } = bundle;
  const expires_at = new Date(Date.now() + wait_seconds * 1000).toISOString();
  const request = { type: 'deploy', id: randomUUID(), audience: null, target: null, expires_at, mode: 'apply', manifest };
  return deploy({
    connect: connectTo({ connectionString, transport: 'tcp' }),
    order: { request: Buffer.from(JSON.stringify(request)), manifest, caller: 'bench', target: null, signature: null },
    chunks: (wanted) => wantedChunks(bundle, wanted),
    deadlineMs: wait_seconds * 1000,
  }).done;
}
