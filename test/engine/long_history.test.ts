/**
 * What lies behind a database costs nobody anything: with three hundred deployments behind it, the next one, and whoever asks, reads no more rows of
 * the engine's than with one. How long it takes is measured by bench/history.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderLongHistory } from '../../bench/long_history.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { untilCounted, withoutAutovacuum } from '../support/settled.ts';
import { sqlAnew as sql } from '../support/sql.ts';

const DEPLOYMENTS = 300;
/** The newest ten, which a run looks at and a page shows, are there only with history; a scan of what all of them have left reads some thousands. */
const rows_more_max = 150;

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  // a scan of what is small costs nothing, and is what the server prefers: it is the long tables that are not to be read from end to end
  await sql(database.url, `alter database ${database.name} set enable_seqscan = off`);
});

afterEach(() => database.drop());

const phases = (...steps: object[]) => JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction: 'single', steps }] });
const BEFORE = {
  'weft.yaml': phases({ run: 'a/*.sql', undo: 'undo/*.sql' }, { run: 'v/*.sql', repeat: 'on-change' }),
  ...Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`a/000${n}.sql`, `create table t${n} (n int);`])),
  ...Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`undo/000${n}.sql`, `drop table t${n};`])),
  'v/1.sql': 'create or replace view v as select n from t1;',
};
const NEXT = {
  ...BEFORE,
  'weft.yaml': phases({ run: 'a/*.sql', undo: 'undo/*.sql' }, { run: 'b/*.sql' }, { run: 'v/*.sql', repeat: 'on-change' }),
  'b/1.sql': 'create table b1 (n int);',
  'v/1.sql': 'create or replace view v as select n from t1 where n > 0;',
};

/** Files of another bundle that have stopped half-way. */
async function leaveHalf(): Promise<void> {
  const files = { '1.sql': 'create table half (n int); select 1 / 0;' };
  expect(await deployFiles(connectOver(database.url), files, { bundle: 'other', transaction: 'none' })).toMatchObject({ state: 'failed' });
}

/** Rows of the engine's tables that have been read so far, by all whose sessions are over. */
async function countRead(): Promise<Record<string, number>> {
  const rows = await sql(
    database.url,
    `select relname::text as name, (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as count from pg_stat_user_tables where schemaname = 'weft'`,
  );
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
}

async function countSettled(): Promise<Record<string, number>> {
  await untilCounted(database.url);
  return countRead();
}

const NEWEST = 'from weft.deployments order by created_at desc limit 1';
const ERRANDS: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['the next deployment', () => deployFiles(connectOver(database.url), NEXT)],
  ['its status', () => sql(database.url, `select weft.status(id) ${NEWEST}`)],
  ['its receipt', () => sql(database.url, `select weft.receipt(id) ${NEWEST}`)],
  ['a page of the newest', () => sql(database.url, 'select weft.list_deployments(2)')],
  ['the view of the newest', () => sql(database.url, 'select * from weft.deployments order by created_at desc limit 2')],
  ['what an undo would run', () => sql(database.url, `select weft.plan_undo(null, 'shop')`)],
  [
    'how many it takes to go back',
    () => sql(database.url, `select weft.list_later((select id from weft._deployments order by created_at desc offset 1 limit 1))`),
  ],
  ['drift', () => sql(database.url, 'select weft.describe_drift()')],
  ['what is in the history', () => sql(database.url, 'select weft.list_history()')],
  ['files half done', () => sql(database.url, 'select weft.list_begun()')],
  ['a plan', () => sql(database.url, `select weft.plan(manifest) from weft._deployments where id = (select id ${NEWEST})`)],
  ['an undo', () => sql(database.url, `select weft.undo(p_bundle => 'shop', p_partly => true)`)],
  ['the run of the undo', () => sql(database.url, 'call weft.run()')],
];

/** How many rows each errand reads, of all tables and of each. */
async function measure(): Promise<Record<string, Record<string, number>>> {
  const read: Record<string, Record<string, number>> = {};
  let before = await countSettled();
  for (const [what, run] of ERRANDS) {
    await run();
    const now = await countSettled();
    read[what] = Object.fromEntries(Object.keys(now).map((name) => [name, (now[name] ?? 0) - (before[name] ?? 0)]));
    before = now;
  }
  return read;
}

describe.each(['none', 'fresh'])('with statistics of the tables: %s', (statistics) => {
  // Once in many runs the server counts rows of an errand that nobody asked for (seen on a busy machine); what grows, grows every time.
  it(`${DEPLOYMENTS} deployments behind it make nobody read more`, { retry: 2 }, async () => {
    await withoutAutovacuum(database.url);
    await deployFiles(connectOver(database.url), BEFORE);
    const other = await freshDatabase();
    await withoutAutovacuum(other.url);
    const short = database;
    try {
      await sql(other.url, `alter database ${other.name} set enable_seqscan = off`);
      await leaveHalf();
      const alone = await measure();
      database = other;
      await deployFiles(connectOver(database.url), BEFORE);
      for (const text of renderLongHistory(DEPLOYMENTS)) await sql(database.url, text);
      await leaveHalf();
      if (statistics === 'fresh') await sql(database.url, 'analyze');
      const behind = await measure();
      const more = Object.fromEntries(
        Object.entries(behind).map(([what, tables]) => [
          what,
          Object.fromEntries(Object.entries(tables).filter(([table, count]) => count - (alone[what]?.[table] ?? 0) > rows_more_max)),
        ]),
      );
      expect(more).toEqual(Object.fromEntries(ERRANDS.map(([what]) => [what, {}])));
    } finally {
      database = short;
      await other.drop();
    }
  });
});
