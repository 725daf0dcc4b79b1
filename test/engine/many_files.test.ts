/**
 * What a file costs does not grow with the files beside it: with four times the files, whatever people ask for reads about four times the rows, of the
 * engine's tables and of the catalogs. Without statistics, as in each new database, and with some that are older than what was deployed last, as
 * autovacuum leaves them; how long it takes is the benchmarks' business.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, stageFiles } from '../support/orders.ts';
import { countRead, withoutAutovacuum } from '../support/settled.ts';
import { sqlAnew as sql } from '../support/sql.ts';

const FEW = 60;
const MANY = 4 * FEW;
/** Four, and what a plan for more rows may choose to read; each with each would be sixteen. */
const ratio_max = 6.5;
/** Of less than this nobody says that it grows. */
const rows_read_min = 20_000;

type Files = Readonly<Record<string, string>>;

const number = (n: number) => String(n).padStart(4, '0');
const listed = (count: number, path: (n: number) => string, text: (n: number) => string): Files =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [path(n), text(n)]));

/** Half of them run once and have an undo, and half run again and again. */
function makeFiles(count: number, { folder = 'a', view = '' } = {}): Files {
  const half = count / 2;
  return {
    'weft.yaml': JSON.stringify({
      name: 'shop',
      phases: [
        { name: 'once', transaction: 'single', steps: [{ run: `${folder}/*.sql`, undo: 'undo/*.sql' }] },
        { name: 'again', transaction: 'single', steps: [{ run: 'v/*.sql', repeat: 'on-change' }] },
      ],
    }),
    ...listed(
      half,
      (n) => `${folder}/${number(n)}.sql`,
      (n) => `create table t${n} (n int);`,
    ),
    ...listed(
      half,
      (n) => `undo/${number(n)}.sql`,
      (n) => `drop table t${n};`,
    ),
    ...listed(
      half,
      (n) => `v/${number(n)}.sql`,
      (n) => `create or replace view v${n} as select ${n} as n${n % 3 === 2 ? ` from v${n - 1}` : ''}${view};`,
    ),
  };
}

/** Each in a transaction of its own. */
const oneByOne = (count: number): Files => ({
  'weft.yaml': JSON.stringify({ name: 'steps', phases: [{ name: 'main', transaction: 'per-step', steps: [{ run: 's/*.sql', undo: 'undo/*.sql' }] }] }),
  ...listed(
    count,
    (n) => `s/${number(n)}.sql`,
    (n) => `select ${n};`,
  ),
  ...listed(
    count,
    (n) => `undo/${number(n)}.sql`,
    (n) => `select -${n};`,
  ),
});

const withoutViews = (files: Files): Files => Object.fromEntries(Object.entries(files).filter(([path]) => !/v\/\d*[13579]\.sql/.test(path)));

const NEWEST = '(select id from weft.deployments order by created_at desc limit 1)';
const deployed = (make: (count: number) => Files) => async (url: string, count: number) => {
  expect(await deployFiles(connectOver(url), make(count))).toMatchObject({ state: 'succeeded' });
};
/** By a session that nobody watches: who watches reads the steps again and again, for as long as the machine takes. */
const ran = (make: (count: number) => Files) => async (url: string, count: number) => {
  const id = await stageFiles(url, make(count));
  await sql(url, 'call weft.run()');
  expect(await sql(url, `select state from weft._deployments where id = '${id}'`)).toEqual([{ state: 'succeeded' }]);
};
const asked = (text: string) => (url: string) => sql(url, text);

const ERRANDS: readonly (readonly [string, (url: string, count: number) => Promise<unknown>])[] = [
  ['the first deployment', deployed((count) => makeFiles(count))],
  ['the same once more', deployed((count) => makeFiles(count))],
  ['what an undo of nothing would run', asked(`select weft.plan_undo(null, 'shop')`)],
  ['one in which each view is another', deployed((count) => makeFiles(count, { view: ' where true' }))],
  ['what an undo of that would run', asked(`select weft.plan_undo(null, 'shop')`)],
  ['how many it takes to go back', asked(`select weft.list_later((select id from weft.deployments order by created_at limit 1))`)],
  ['an undo of that', asked(`select weft.undo(p_bundle => 'shop')`)],
  ['its run', asked('call weft.run()')],
  ['its status', asked(`select weft.status(${NEWEST})`)],
  ['one whose folder has another name', deployed((count) => makeFiles(count, { folder: 'b' }))],
  ['one that lacks half of the views', deployed((count) => withoutViews(makeFiles(count, { folder: 'b' })))],
  ['a plan', asked(`select weft.plan(manifest) from weft._deployments where id = ${NEWEST}`)],
  ['the history', asked('select weft.list_history()')],
  ['one that commits after each file', ran(oneByOne)],
  ['an undo of that one', asked(`select weft.undo(p_bundle => 'steps')`)],
  ['the run of that one', asked('call weft.run()')],
];

/** Before these, statistics are taken where some are wanted: they know nothing of what comes then. */
const ERRANDS_WITH_OLD_STATISTICS = new Set(['one in which each view is another', 'one that commits after each file']);

type Statistics = 'none' | 'old';

async function measure(url: string, count: number, statistics: Statistics): Promise<Record<string, Record<string, number>>> {
  const read: Record<string, Record<string, number>> = {};
  let before = await countRead(url);
  for (const [what, run] of ERRANDS) {
    if (statistics === 'old' && ERRANDS_WITH_OLD_STATISTICS.has(what)) {
      await sql(url, 'analyze');
      before = await countRead(url);
    }
    await run(url, count);
    const now = await countRead(url);
    read[what] = Object.fromEntries(Object.keys(now).map((name) => [name, (now[name] ?? 0) - (before[name] ?? 0)]));
    before = now;
  }
  return read;
}

describe.each<Statistics>(['none', 'old'])(`with ${MANY} files in place of ${FEW}, statistics of the tables: %s`, (statistics) => {
  let databases: readonly TestDatabase[];
  let few: Awaited<ReturnType<typeof measure>>;
  let many: Awaited<ReturnType<typeof measure>>;

  beforeAll(async () => {
    databases = await Promise.all([freshDatabase(), freshDatabase()]);
    for (const { url, name } of databases) {
      await sql(url, `alter database ${name} set client_min_messages = warning`);
      await withoutAutovacuum(url);
    }
    [few, many] = (await Promise.all(databases.map(({ url }, place) => measure(url, place === 0 ? FEW : MANY, statistics)))) as [typeof few, typeof many];
  }, 240_000);

  afterAll(() => Promise.all((databases ?? []).map((database) => database.drop())));

  it.each(ERRANDS.map(([what]) => what))('%s reads about four times the rows', (what) => {
    const grown = Object.entries(many[what] ?? {})
      .filter(([table, count]) => count > Math.max(rows_read_min, ratio_max * (few[what]?.[table] ?? 0)))
      .map(([table, count]) => `${table}: ${few[what]?.[table] ?? 0}, then ${count}`);
    expect(grown).toEqual([]);
  });
});
