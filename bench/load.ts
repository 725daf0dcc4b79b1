/**
 * What a load costs beside `\copy`: `npm run bench:load`. The same CSV goes into the same table, with its primary key: by COPY FROM STDIN as
 * psql's `\copy` sends it, and by a deployment with `load:`. Each into a new database, one after the other and in changing order. How to
 * read it: bench/README.md.
 *
 *   --megabytes N      size of the file, in 10^6 bytes (150)
 *   --pairs N          (3)
 *   --quotes WHICH     none, some or all of the fields stand in quotes (none)
 *   --mode MODE        insert, upsert or sync (insert)
 *   --again            what is measured is the same load once more, over the rows that are there, a hundredth of them changed
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { readFolder } from '../src/bundle/folder.ts';
import { wantedChunks } from '../src/bundle/source.ts';
import { connectTo } from '../src/database/connect.ts';
import { deploy } from '../src/deployment/deploy.ts';
import { Chance, DEFAULT_SEED } from './changesets.ts';
import { printConditions, printEnd } from './conditions.ts';
import { copyFrom } from './copy.ts';
import { mebibytes, median, readNumber, renderTable, seconds } from './figures.ts';
import { type BenchServer, startBenchServer } from './server.ts';

/** What is aimed at. */
const ratio_target = 3;
const deadline_milliseconds = 30 * 60_000;
const look_every_milliseconds = 100;
const tick_milliseconds = 10;
const file_buffer_bytes = 1 << 20;
const changed_every_rows = 100;

const TABLE = `create schema shop; create table shop.item (id integer primary key, sku text not null, name text not null, price numeric(10, 2), stock integer,
  weight double precision, is_active boolean, made_at timestamptz, country text, note text)`;
const COLUMNS = 'id,sku,name,price,stock,weight,is_active,made_at,country,note';

const { values: options } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '150' },
    pairs: { type: 'string', default: '3' },
    quotes: { type: 'string', default: 'none' },
    mode: { type: 'string', default: 'insert' },
    again: { type: 'boolean', default: false },
  },
});
const bytes = readNumber('megabytes', options.megabytes, 1) * 1e6;
const pairs = readNumber('pairs', options.pairs, 1);
const { quotes, mode, again } = options;
if (!['none', 'some', 'all'].includes(quotes)) throw new RangeError('--quotes takes none, some or all');
if (!['insert', 'upsert', 'sync'].includes(mode)) throw new RangeError('--mode takes insert, upsert or sync');
if (again && mode === 'insert') throw new RangeError('--again needs --mode upsert or sync');

type Side = 'copy' | 'load';
interface Measured {
  readonly milliseconds: number;
  /** Of the load: of its step alone, without the bytes' way into the database. */
  readonly stepMs: number;
  /** The most that the backend held, beyond the shared memory that it has touched (Linux only). */
  readonly peakBytes: number;
  /** What the backend used of a processor (Linux only). */
  readonly cpuMs: number;
}

printConditions('bench/load');
const folder = await mkdtemp(join(tmpdir(), 'weft-bench-'));
const rows = await writeData(join(folder, 'first'), false);
if (again) await writeData(join(folder, 'second'), true);
console.log(`${(bytes / 1e6).toFixed(0)} MB of CSV, ${rows} rows, quotes: ${quotes}, mode: ${mode}${again ? ', once more over its rows' : ''}`);
const server = await startBenchServer();
try {
  const measured: Record<Side, Measured>[] = [];
  await measure('copy', 'warm_copy');
  await measure('load', 'warm_load');
  for (let pair = 1; pair <= pairs; pair++) {
    const first: Side = pair % 2 === 1 ? 'copy' : 'load';
    const one = await measure(first, `${first}_${pair}`);
    const second: Side = first === 'copy' ? 'load' : 'copy';
    const two = await measure(second, `${second}_${pair}`);
    measured.push(first === 'copy' ? { copy: one, load: two } : { load: one, copy: two });
  }
  report(measured);
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
printEnd();

function report(measured: readonly Record<Side, Measured>[]): void {
  const ratios = measured.map(({ copy, load }) => load.milliseconds / copy.milliseconds);
  const head = ['pair', 'copy s', 'load s', 'load / copy', 'the step s', 'MB/s of it', 'copy CPU s', 'load CPU s', 'CPU ratio', 'copy MiB', 'load MiB'];
  const table = measured.map(({ copy, load }, index) => [
    `${index + 1} (${index % 2 === 0 ? 'copy' : 'load'} first)`,
    seconds(copy.milliseconds),
    seconds(load.milliseconds),
    (ratios[index] ?? Number.NaN).toFixed(2),
    seconds(load.stepMs),
    (bytes / 1e6 / (load.stepMs / 1000)).toFixed(1),
    seconds(copy.cpuMs),
    seconds(load.cpuMs),
    (load.cpuMs / copy.cpuMs).toFixed(2),
    mebibytes(copy.peakBytes),
    mebibytes(load.peakBytes),
  ]);
  console.log(`\n${renderTable(head, table)}\n`);
  const isWithin = median(ratios) <= ratio_target;
  if (!isWithin) process.exitCode = 1;
  console.log(`median ratio ${median(ratios).toFixed(2)}; ${isWithin ? 'within' : 'NOT within'} ${ratio_target}`);
}

/** One run in a database of its own; the table is counted afterwards. */
async function measure(side: Side, name: string): Promise<Measured> {
  const url = await server.createDatabase(name, true);
  await server.query(url, `set role bench; ${TABLE}`);
  if (again) await copyFile(url, 'first');
  await server.checkpoint();
  const watch = watchBackends(server, url, side === 'copy' ? 'bench copy' : 'bench load');
  const file = again ? 'second' : 'first';
  const { milliseconds, stepMs } = side === 'copy' ? await copyFile(url, file, again) : await loadFile(url, file);
  const [{ count }] = await server.query(url, 'select count(*)::int as count from shop.item');
  if (count !== rows) throw new Error(`${name} has ${count} rows and not ${rows}`);
  return { milliseconds, stepMs, ...(await watch()) };
}

/** As psql's \copy does it. Over rows that are there it has to make room first. */
async function copyFile(url: string, name: string, empties = false): Promise<{ milliseconds: number; stepMs: number }> {
  const client = new pg.Client({ connectionString: url, application_name: 'bench copy' });
  await client.connect();
  try {
    const startMs = performance.now();
    if (empties) await client.query('begin; truncate shop.item');
    await copyFrom(
      client,
      `copy shop.item (${COLUMNS}) from stdin with (format csv, header)`,
      createReadStream(join(folder, name, 'items.csv'), { highWaterMark: 1 << 16 }),
    );
    if (empties) await client.query('commit');
    const milliseconds = performance.now() - startMs;
    return { milliseconds, stepMs: milliseconds };
  } finally {
    await client.end();
  }
}

/** From the folder to the end of the deployment. */
async function loadFile(url: string, name: string): Promise<{ milliseconds: number; stepMs: number }> {
  const startMs = performance.now();
  const bundle = await readFolder(join(folder, name));
  const request = {
    type: 'deploy',
    id: randomUUID(),
    audience: null,
    target: null,
    expires_at: '2099-01-01T00:00:00Z',
    mode: 'apply',
    manifest: bundle.manifest,
  };
  const end = await deploy({
    connect: connectTo({ connectionString: url, transport: 'tcp', applicationName: 'bench load' }),
    order: { request: Buffer.from(JSON.stringify(request)), manifest: bundle.manifest, caller: 'bench', target: null, signature: null },
    chunks: (wanted) => wantedChunks(bundle, wanted),
    deadlineMs: deadline_milliseconds,
  }).done;
  if (end.state !== 'succeeded') throw new Error(JSON.stringify(end.error));
  return { milliseconds: performance.now() - startMs, stepMs: end.phases[0]?.steps[0]?.milliseconds ?? Number.NaN };
}

/** Looks at what the backends of this database hold and use, until it is asked. */
function watchBackends(from: BenchServer, url: string, application: string): () => Promise<{ peakBytes: number; cpuMs: number }> {
  let peakBytes = 0;
  const pids = new Set<number>();
  const cpuMs = new Map<number, number>();
  const look = async () => {
    const found = await from.query(
      url,
      `select pid from pg_stat_activity where datname = current_database() and (application_name = $1 or application_name like 'weft %')`,
      [application],
    );
    for (const { pid } of found) pids.add(pid);
    for (const pid of pids) {
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      const held = /^RssAnon:\s+(\d+) kB/m.exec(status)?.[1];
      peakBytes = Math.max(peakBytes, Number(held ?? 0) * 1024);
      const ticks = (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')).split(') ')[1]?.split(' ');
      if (ticks !== undefined) cpuMs.set(pid, (Number(ticks[11]) + Number(ticks[12])) * tick_milliseconds);
    }
  };
  let looking = look();
  const timer = setInterval(() => {
    looking = looking.then(look).catch(() => undefined);
  }, look_every_milliseconds);
  return async () => {
    clearInterval(timer);
    await looking;
    return { peakBytes, cpuMs: [...cpuMs.values()].reduce((sum, one) => sum + one, 0) };
  };
}

/** Writes a bundle with one file of about so many bytes. @returns its number of rows */
async function writeData(root: string, isChanged: boolean): Promise<number> {
  await mkdir(root);
  await writeFile(
    join(root, 'weft.yaml'),
    JSON.stringify({
      name: 'bench',
      phases: [{ name: 'data', transaction: 'single', steps: [{ load: 'items.csv', into: 'shop.item', mode, ...(mode === 'insert' ? {} : { key: ['id'] }) }] }],
    }),
  );
  const chance = new Chance(DEFAULT_SEED);
  const words = Array.from({ length: 2000 }, () =>
    chance
      .next()
      .toString(36)
      .slice(2, 2 + chance.between(3, 9)),
  );
  const file = await open(join(root, 'items.csv'), 'w');
  let text = `${COLUMNS}\n`;
  let written = 0;
  let id = 0;
  while (written + text.length < bytes) {
    id += 1;
    const prose = (count: number) => Array.from({ length: count }, () => chance.pick(words)).join(' ');
    const note = quotes === 'none' || id % 5 !== 0 ? prose(4) : `${prose(3)}, with "quotes" (and more)`;
    const price = chance.between(0, 100_000) / 100 + (isChanged && id % changed_every_rows === 0 ? 0.01 : 0);
    const day = String(chance.between(1, 28)).padStart(2, '0');
    const fields = [
      id,
      `SKU-${String(id).padStart(8, '0')}`,
      prose(2),
      price.toFixed(2),
      chance.between(0, 1000),
      chance.next().toFixed(3),
      chance.between(0, 1) === 1,
      `2024-06-${day} 10:00:00+00`,
      chance.pick(['DE', 'US', 'FR', '']),
      note,
    ];
    text += `${fields.map((field) => (quotes === 'all' || /[",]/.test(String(field)) ? `"${String(field).replaceAll('"', '""')}"` : field)).join(',')}\n`;
    if (text.length > file_buffer_bytes) {
      written += (await file.write(text)).bytesWritten;
      text = '';
    }
  }
  await file.write(text);
  await file.close();
  return id;
}
