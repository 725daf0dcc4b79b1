/**
 * Many statements in one transaction, and what others do meanwhile. The server learns of it whenever it takes a lock that it does not hold yet,
 * which each statement of DDL does dozens of times, with the catalogs. To hold those locks would save a tenth of the time, and that knowledge.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, shutGate } from '../support/orders.ts';
import { sql, sqlAnew } from '../support/sql.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(() => sql(database.url, 'drop schema if exists stock cascade; create schema stock'));

let count = 0;
const many = (): string[] => {
  count++;
  return Array.from({ length: 70 }, (_, n) => `create function made_${count}_${n}() returns int language sql as 'select 1';`);
};
/** Such as replaces what this transaction has made: it opens a catalog, and all that it looks up it knows already. */
const another = (n: number) => `create or replace function made_${count}_${n}() returns int language sql as 'select 2';`;
const FORM = "function stock.level() returns int language plpgsql as 'begin return";

/** Deploys files of which one stands at the gate, where another session does something and commits. */
async function deployPast(files: Readonly<Record<string, string>>, meanwhile: () => Promise<unknown>) {
  const gate = await shutGate(database.url);
  const running = deployFiles(connectOver(database.url), files);
  await gate.reached();
  try {
    await meanwhile();
  } finally {
    await gate.open();
  }
  return running;
}

/** A file of many statements, with the gate between them. */
const deployAround = (before: string, meanwhile: () => Promise<unknown>, after: string) =>
  deployPast({ [`${count}.sql`]: [...many(), before, AT_THE_GATE, another(1), another(2), after].join('\n') }, meanwhile);

it('a schema that another session has dropped meanwhile is missed: no function is made in none', async () => {
  const made = await deployAround(
    `create ${FORM} 1; end'; drop function stock.level();`,
    () => sqlAnew(database.url, 'drop schema stock cascade'),
    `create ${FORM} 2; end';`,
  );
  expect(made).toMatchObject({ state: 'failed', phases: [{ steps: [{ error: { sqlstate: '3F000' } }] }] });
  expect(await sql(database.url, 'select p.proname from pg_proc as p where not exists (select from pg_namespace as n where n.oid = p.pronamespace)')).toEqual(
    [],
  );
});

it('a function that another session has replaced meanwhile is replaced in the first try', async () => {
  await sql(database.url, `create ${FORM} 1; end'`);
  const { id, state } = await deployAround(
    'select stock.level();',
    () => sqlAnew(database.url, `create or replace ${FORM} 2; end'`),
    `create or replace ${FORM} 3; end';`,
  );
  expect(state).toBe('succeeded');
  expect(await sql(database.url, `select e.data from weft.events as e where e.deployment_id = $1 and e.kind = 'lock_not_available'`, [id])).toEqual([]);
});

const ALL = { run: '*.sql' };
it.each([
  ['plain files', [ALL]],
  ['files that run again and again', [{ ...ALL, repeat: 'on-change' }]],
  ['files that may fail', [{ ...ALL, on_error: 'continue' }]],
  ['a load', [{ run: '1.sql' }, { load: 'kinds.csv', into: 'stock.kind', key: ['name'], mode: 'sync' }, { run: '2.sql' }]],
])('a catalog can be rewritten meanwhile, and nobody has to wait behind who wants to: none is locked behind %s', async (_, steps) => {
  count++;
  let held: unknown;
  const deployed = await deployPast(
    {
      'weft.yaml': JSON.stringify({ name: `locks_${count}`, phases: [{ name: 'main', transaction: 'single', steps }] }),
      '1.sql': 'create table stock.kind (name text primary key);',
      '2.sql': `${AT_THE_GATE} create view stock.rest as select 1 as n;`,
      'kinds.csv': 'name\nplain\n',
    },
    async () => {
      held = await sqlAnew(
        database.url,
        `select l.relation::regclass, l.mode from pg_locks as l
         where l.relation < 16384 and l.pid = (
           select w.pid from pg_locks as w
           where w.locktype = 'advisory' and w.objid = 47 and not w.granted and w.database = (select d.oid from pg_database as d where d.datname = current_database()))`,
      );
    },
  );
  expect(deployed).toMatchObject({ state: 'succeeded' });
  expect(held).toEqual([]);
});
