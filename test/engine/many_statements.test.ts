/**
 * What the engine does before many statements in one transaction: it holds the locks of the catalogs that DDL takes and gives back thousands of times.
 * Nothing that is deployed is another for it, and nothing hangs on its being possible.
 */
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sqlAnew as sql } from '../support/sql.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

const MANY = 64;
const tables = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `create table ${prefix}${n} (n int);`);
/** Keeps which catalogs this transaction has locked for writing, and their indexes. */
const seen = (table: string) => `
  create table ${table} as
  select l.relation::regclass::text as name
  from pg_locks as l
  where l.pid = pg_backend_pid() and l.mode = 'RowExclusiveLock' and l.relation < 16384;`;
const deployed = (files: Readonly<Record<string, string>>, transaction: string) =>
  deployFiles(connectOver(database.url), {
    'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction, steps: [{ run: '*.sql' }] }] }),
    ...files,
  });
const held = async (table: string) => (await sql(database.url, `select name from ${table}`)).map(({ name }) => name);

it('a file of many statements holds the catalogs that they write, and their indexes', async () => {
  expect(await deployed({ 'many.sql': [...tables('a', MANY), seen('of_many')].join('\n') }, 'per-step')).toMatchObject({ state: 'succeeded' });
  expect(await held('of_many')).toEqual(expect.arrayContaining(['pg_class', 'pg_class_oid_index', 'pg_attribute', 'pg_depend', 'pg_constraint', 'pg_proc']));
});

it('many files in one transaction do, too', async () => {
  const files = Object.fromEntries(tables('b', MANY).map((text, n) => [`b${String(n).padStart(2, '0')}.sql`, text]));
  expect(await deployed({ ...files, 'last.sql': seen('of_files') }, 'single')).toMatchObject({ state: 'succeeded' });
  expect(await held('of_files')).toEqual(expect.arrayContaining(['pg_class', 'pg_depend']));
});

it('a file with rows of COPY does, whose statements are not known beforehand', async () => {
  const text = `create table copied (n int);\ncopy copied (n) from stdin;\n1\n\\.\n${seen('of_copied')}`;
  expect(await deployed({ 'copied.sql': text }, 'per-step')).toMatchObject({ state: 'succeeded' });
  expect(await held('of_copied')).toContain('pg_class');
});

it('few statements hold none', async () => {
  expect(await deployed({ 'few.sql': [...tables('c', 3), seen('of_few')].join('\n') }, 'per-step')).toMatchObject({ state: 'succeeded' });
  expect(await held('of_few')).not.toContain('pg_class');
});

it.runIf(offers('a superuser'))('where they are not to be had, the statements wait for what they need themselves, and then run', async () => {
  const other = new pg.Client({ connectionString: database.superuserUrl ?? '' });
  await other.connect();
  try {
    await other.query('begin');
    await other.query('lock table pg_catalog.pg_rewrite in share mode'); // which tables can do without
    const text = [`create table before_hand (n int);`, ...tables('d', MANY), seen('of_refused')].join('\n');
    expect(await deployed({ 'refused.sql': text }, 'per-step')).toMatchObject({ state: 'succeeded' });
    expect(await held('of_refused')).not.toContain('pg_depend');
  } finally {
    await other.end();
  }
});
