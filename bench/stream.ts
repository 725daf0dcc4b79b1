/**
 * A large artifact through the Worker, and what the Worker holds of it: `npm run bench:stream`. A file of INSERTs is sent as a tar to the Worker
 * in workerd, which stages it in the database. Throughput is measured until everything is staged, the run that follows by itself; memory in
 * uploads of their own, because every look stops the isolate. How to read it: bench/README.md.
 *
 *   --mebibytes N      size of the large artifact (90)
 *   --repeat N         uploads of each kind (3)
 *   --round-trip MS    between Worker and database, in milliseconds, half of it each way (0)
 *   --way WAY          websocket or tcp (websocket)
 */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readFolder } from '../src/bundle/folder.ts';
import type { Bundle } from '../src/bundle/source.ts';
import { type Edge, startEdge } from '../src/dev/edge.ts';
import { freePort } from '../src/dev/ports.ts';
import { generateSecret } from '../src/trust/sign.ts';
import { Chance, DEFAULT_SEED } from './changesets.ts';
import { printConditions, printEnd } from './conditions.ts';
import { mebibytes, median, readNumber, renderTable, seconds } from './figures.ts';
import { bytesOf, Isolate, type Memory } from './isolate.ts';
import { type BenchServer, startBenchServer } from './server.ts';
import { upload } from './upload.ts';

/** By how much the isolate may hold more for the large artifact than for the small one. */
const difference_mebibytes_target = 32;
const small_mebibytes = 1;
const row_bytes = 1000;
const rows_per_statement = 64;
const look_every_milliseconds = 20;

const { values: options } = parseArgs({
  options: {
    mebibytes: { type: 'string', default: '90' },
    repeat: { type: 'string', default: '3' },
    'round-trip': { type: 'string', default: '0' },
    way: { type: 'string', default: 'websocket' },
  },
});
const large_mebibytes = readNumber('mebibytes', options.mebibytes, small_mebibytes + 1);
const repeat = readNumber('repeat', options.repeat, 1);
const roundTripMs = readNumber('round-trip', options['round-trip'], 0);
if (options.way !== 'websocket' && options.way !== 'tcp') throw new RangeError('--way is websocket or tcp');

const TARGETS = { websocket: 'bench', tcp: 'bench-tcp' };
const target = TARGETS[options.way];

interface Kind {
  readonly mebibytes: number;
  readonly gzip: boolean;
}
const KINDS: readonly Kind[] = [false, true].flatMap((gzip) => [small_mebibytes, large_mebibytes].map((size): Kind => ({ mebibytes: size, gzip })));

/** What all uploads share. */
interface Place {
  readonly server: BenchServer;
  readonly database: string;
  readonly edge: Edge;
  readonly secret: string;
  readonly folder: string;
}

const nextSeed = counter(DEFAULT_SEED);
printConditions('bench/stream');
console.log(`${options.way}, round trip ${roundTripMs} ms between Worker and database`);
const folder = await mkdtemp(join(tmpdir(), 'weft-bench-'));
const server = await startBenchServer();
try {
  const database = await server.createDatabase('bench_stream', true);
  const secret = generateSecret();
  const inspectorPort = await freePort();
  const edge = await startEdge({
    databaseUrl: database,
    target: TARGETS.websocket,
    tcpTarget: TARGETS.tcp,
    caller: 'bench',
    secret,
    inspectorPort,
    delayMs: roundTripMs / 2,
  });
  try {
    const place: Place = { server, database, edge, secret, folder };
    await passThrough(place, { mebibytes: small_mebibytes, gzip: false });
    await showThroughput(place);
    await showMemory(place, inspectorPort);
  } finally {
    await edge.stop();
  }
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
printEnd();

async function showThroughput(place: Place): Promise<void> {
  const rows: string[][] = [];
  for (const kind of KINDS) {
    const staged: number[] = [];
    const ran: number[] = [];
    for (let turn = 0; turn < repeat; turn++) {
      const { stagedMs, runMs } = await passThrough(place, kind);
      staged.push(stagedMs);
      ran.push(runMs);
    }
    const speeds = staged.map((ms) => (kind.mebibytes * 2 ** 20) / 1e6 / (ms / 1000));
    rows.push([
      describe(kind),
      seconds(median(staged)),
      median(speeds).toFixed(1),
      `${Math.min(...speeds).toFixed(1)} to ${Math.max(...speeds).toFixed(1)}`,
      seconds(median(ran)),
    ]);
  }
  console.log(`\n${renderTable(['upload', 'staged s, median', 'MB/s, median', 'MB/s', 'run s, median'], rows)}`);
}

async function showMemory(place: Place, inspectorPort: number): Promise<void> {
  const isolate = await Isolate.find(inspectorPort, async () => (await place.edge.worker.fetch('/healthz')).arrayBuffer());
  const idle = await isolate.measure();
  const rows: string[][] = [['idle', '1', mebibytes(idle.usedBytes), mebibytes(idle.backingBytes), '', mebibytes(bytesOf(idle))]];
  const most = new Map<Kind, number>();
  for (const kind of KINDS) {
    const looks: Memory[] = [];
    for (let turn = 0; turn < repeat; turn++) {
      let isOver = false;
      const passage = passThrough(place, kind, () => {
        isOver = true;
      }).finally(() => {
        isOver = true;
      });
      passage.catch(() => undefined); // it is awaited below
      while (!isOver) {
        const memory = await isolate.measure();
        if (!isOver) looks.push(memory);
        await pause(look_every_milliseconds);
      }
      await passage;
    }
    const peak = looks.reduce((largest, look) => (bytesOf(look) > bytesOf(largest) ? look : largest), idle);
    most.set(kind, bytesOf(peak));
    rows.push([
      describe(kind),
      String(looks.length),
      mebibytes(peak.usedBytes),
      mebibytes(peak.backingBytes),
      mebibytes(median(looks.map(bytesOf))),
      mebibytes(bytesOf(peak)),
    ]);
  }
  isolate.close();
  console.log(`\n${renderTable(['MiB alive in the isolate', 'looks', 'heap', 'buffers', 'median', 'at most'], rows)}\n`);
  for (const [small, large] of pairsOf(KINDS)) {
    const difference = (most.get(large) ?? Number.NaN) - (most.get(small) ?? Number.NaN);
    const isWithin = difference <= difference_mebibytes_target * 2 ** 20;
    if (!isWithin) process.exitCode = 1;
    console.log(
      `${describe(large)}: ${mebibytes(difference)} MiB more than ${describe(small)}; ${isWithin ? 'within' : 'NOT within'} ${difference_mebibytes_target} MiB`,
    );
  }
}

/**
 * Sends one artifact of this kind, and waits for the end of its deployment.
 * @param onStaged called when the Worker has answered
 * @returns milliseconds from the request to the answer, which comes when everything is staged, and from there to the end of the run
 */
async function passThrough(place: Place, kind: Kind, onStaged: () => void = () => undefined): Promise<{ stagedMs: number; runMs: number }> {
  const { edge, secret } = place;
  const bundle = await writeBundle(place.folder, kind.mebibytes * 2 ** 20, nextSeed());
  const startMs = performance.now();
  const { id } = await upload({ origin: edge.origin, target, secret, bundle, gzip: kind.gzip });
  const stagedMs = performance.now() - startMs;
  onStaged();
  await untilOver(place, id);
  return { stagedMs, runMs: performance.now() - startMs - stagedMs };
}

async function untilOver({ server, database }: Place, id: string): Promise<void> {
  for (;;) {
    const [row] = await server.query(database, 'select state from weft.deployments where id = $1', [id]);
    if (row?.state === 'succeeded') return;
    if (!['staged', 'running'].includes(row?.state)) throw new Error(`the deployment is ${row?.state}`);
    await pause(look_every_milliseconds);
  }
}

/** A folder with one file of just so many bytes, in whose statements nothing is the same as in those of another seed. */
async function writeBundle(folder: string, bytes: number, seed: number): Promise<Bundle> {
  const chance = new Chance(seed);
  const words = Array.from({ length: 4096 }, () =>
    chance
      .next()
      .toString(36)
      .slice(2, 2 + chance.between(2, 10)),
  );
  const prose = Array.from({ length: 100_000 }, () => chance.pick(words)).join(' ');
  const root = join(folder, `bundle_${seed}`);
  await mkdir(root);
  const file = await open(join(root, 'documents.sql'), 'w');
  const table = `stream_${seed}.documents`;
  let left = bytes - (await file.write(`create schema stream_${seed};\ncreate table ${table} (number integer, body text);\n`)).bytesWritten;
  for (let number = 1; left > 0; ) {
    const rows: string[] = [];
    for (let row = 0; row < rows_per_statement; row++, number++) {
      const at = chance.between(0, prose.length - row_bytes);
      rows.push(`  (${number}, '${prose.slice(at, at + row_bytes)}')`);
    }
    const statement = `insert into ${table} values\n${rows.join(',\n')};\n`;
    // What is left over is filled up with a comment.
    left -= (await file.write(statement.length <= left ? statement : `${'-'.repeat(left - 1)}\n`)).bytesWritten;
  }
  await file.close();
  return readFolder(root);
}

function describe({ mebibytes: size, gzip }: Kind): string {
  return `${size} MiB, ${gzip ? 'gzip' : 'plain'}`;
}

/** Small and large of each encoding. */
function pairsOf(kinds: readonly Kind[]): [Kind, Kind][] {
  return kinds.flatMap((small) => {
    const large = kinds.find((kind) => kind.gzip === small.gzip && kind.mebibytes > small.mebibytes);
    return large === undefined ? [] : [[small, large] as [Kind, Kind]];
  });
}

function counter(first: number): () => number {
  let next = first;
  return () => next++;
}
