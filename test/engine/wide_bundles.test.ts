/**
 * A bundle may have twenty thousand files. What a deployment reads and sorts of the engine's own tables grows with their number, and not with its
 * square: also where a folder was moved, or is gone. How long it takes is measured by bench/.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { untilCounted } from '../support/settled.ts';
import { sqlAnew as sql } from '../support/sql.ts';

const FILES = 400;
/** So many rows of its steps a deployment may read for each of its files; to look for each among all would be 400. */
const rows_read_per_file_max = 60;

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
});

afterEach(() => database.drop());

type Files = Readonly<Record<string, string>>;
const bundle = (steps: readonly object[], files: Files): Files => ({
  ...files,
  'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction: 'single', steps }] }),
});
const inFolder = (folder: string, write: (n: number) => string): Files =>
  Object.fromEntries(Array.from({ length: FILES }, (_, n) => [`${folder}/${String(n).padStart(5, '0')}.sql`, write(n)]));

/** Rows of steps that have been read so far, and bytes of temporary files, by all whose sessions are over. */
async function spent(): Promise<{ read: number; spilled: number }> {
  await untilCounted(database.url);
  const [found] = await sql(
    database.url,
    `select (select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int from pg_stat_user_tables where schemaname = 'weft' and relname = '_steps') as read,
            (select temp_bytes::int from pg_stat_database where datname = current_database()) as spilled`,
  );
  return { read: found.read, spilled: found.spilled };
}

async function deployed(files: Files) {
  const end = await deployFiles(connectOver(database.url), files);
  expect(end.state, JSON.stringify(end.error)).toBe('succeeded');
  return end;
}

it('a deployment that finds everything applied sorts no phase along with each of its files', async () => {
  const files = bundle(
    [{ run: 'a/*.sql' }],
    inFolder('a', (n) => `select ${n}`),
  );
  await deployed(files);
  const before = await spent();
  await deployed(files);
  const after = await spent();
  expect(after.spilled - before.spilled).toBe(0);
  expect(after.read - before.read).toBeLessThan(FILES * rows_read_per_file_max);
});

it('a folder that was moved, or is gone, is followed as a whole', async () => {
  await deployed(
    bundle(
      [{ run: 'a/*.sql' }],
      inFolder('a', (n) => `select ${n}`),
    ),
  );
  const before = await spent();
  const end = await deployed(
    bundle(
      [{ run: 'b/*.sql' }],
      inFolder('b', (n) => `select ${n}`),
    ),
  );
  expect(new Set(end.phases[0]?.steps.map(({ state }) => state))).toEqual(new Set(['skipped']));
  const moved = await spent();
  expect(moved.read - before.read).toBeLessThan(FILES * rows_read_per_file_max);
  expect(await deployed(bundle([{ run: 'c.sql' }], { 'c.sql': 'select -1' }))).toMatchObject({ files_gone: { count: FILES } });
  expect((await spent()).read - moved.read).toBeLessThan(FILES * rows_read_per_file_max);
});
