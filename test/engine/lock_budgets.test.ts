/** How long a statement may wait for a lock: one budget for a phase, or one for each kind of statement. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
});

afterEach(() => database.drop());

it.each([
  ['insert into t values (1)', 'data'],
  ['-- first\n  UPDATE t set a = 1', 'data'],
  ['with x as (select 1) delete from t', 'data'],
  ['merge into t using s on true when matched then delete', 'data'],
  ['select count(*) from t', 'data'],
  ['create index i on t (a)', 'index'],
  ['create unique index i on t (a)', 'index'],
  ['reindex table t', 'index'],
  ['create index concurrently i on t (a)', 'concurrently'],
  ['drop index /* a comment */ concurrently if exists i', 'concurrently'],
  ['reindex (verbose) index concurrently i', 'concurrently'],
  ['refresh materialized view concurrently v', 'concurrently'],
  ['alter table t detach partition p concurrently', 'concurrently'],
  ['alter table t validate constraint c', 'concurrently'],
  ['vacuum t', 'concurrently'],
  ['vacuum (analyze) t', 'concurrently'],
  ['analyze t', 'concurrently'],
  ['vacuum full t', 'table'],
  ['vacuum (full, analyze) t', 'table'],
  ['drop index i', 'table'],
  ['alter table t add column a int', 'table'],
  [`alter table t add column a text default 'x concurrently'`, 'table'],
  ['truncate t', 'table'],
  ['lock table t', 'table'],
  ['create trigger x before insert on t for each row execute function f()', 'table'],
  ['do $$ begin insert into t values (1); end $$', 'table'],
])('%j is of the kind %s', async (statement, kind) => {
  expect((await sql(database.url, 'select weft._name_lock_kind($1) as kind', [statement]))[0].kind).toBe(kind);
});

describe.each(['single', 'per-step', 'none'] as const)('transaction: %s', (transaction) => {
  /** Each statement is seen with the budget that it has: a trigger and an event trigger are not needed, a setting tells. */
  async function budgetsIn(lockTimeout: unknown, file: string) {
    await sql(database.url, 'create table if not exists seen (place int generated always as identity, budget text)');
    const end = await deployFiles(connectOver(database.url), {
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'main', transaction, lock_timeout: lockTimeout, steps: [{ run: '1.sql' }] }] }),
      '1.sql': file,
    });
    expect(end.error).toBeNull();
    return (await sql(database.url, 'select budget from seen order by place')).map(({ budget }) => budget);
  }

  const SEE = `insert into seen (budget) values (current_setting('lock_timeout'));`;
  const SEE_IN_DO = `do $$ begin insert into seen (budget) values (current_setting('lock_timeout')); end $$;`;

  it('one for all', async () => {
    expect(await budgetsIn('2s', `${SEE} ${SEE_IN_DO}`)).toEqual(['2s', '2s']);
  });

  it('each statement has the one of its kind, and those that are not said the default', async () => {
    expect(await budgetsIn({ default: '2s', data: '30s' }, `${SEE} ${SEE_IN_DO} ${SEE}`)).toEqual(['30s', '2s', '30s']);
  });

  it('a file that sets its own keeps it', async () => {
    expect(await budgetsIn({ default: '2s', data: '30s' }, `${SEE} set lock_timeout = '7s'; ${SEE_IN_DO} ${SEE}`)).toEqual(['30s', '7s', '7s']);
  });

  it('without a default, what is not said waits 5 s', async () => {
    expect(await budgetsIn({ table: '1s' }, `${SEE} ${SEE_IN_DO}`)).toEqual(['5s', '1s']);
  });
});

it('what PostgreSQL runs in no transaction waits without a limit, unless it is said', async () => {
  await sql(database.url, 'create table t (n int)');
  const holder = await database.client();
  await holder.query('begin; lock table t');
  const end = deployFiles(connectOver(database.url), {
    'weft.yaml': JSON.stringify({
      name: 'shop',
      phases: [{ name: 'main', transaction: 'none', lock_timeout: { concurrently: '20ms' }, steps: [{ run: '1.sql' }] }],
    }),
    '1.sql': 'create index concurrently t_n on t (n);',
  });
  for (;;) {
    const [{ tries }] = await sql(database.url, `select count(*)::int as tries from weft.events where kind = 'lock_not_available'`);
    if (tries >= 2) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await holder.end();
  expect(await end).toMatchObject({ state: 'succeeded' });
});
