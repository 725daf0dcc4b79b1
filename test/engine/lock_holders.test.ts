/**
 * Who had the lock: looked for right after it was not to be had, in the lock table, by what the statement and the server's words name. Each
 * case is a real wait that ran out.
 */
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectTo } from '../../src/database/connect.ts';
import { ensureEngine } from '../../src/database/engine.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles, until } from '../support/orders.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let others: pg.Client[];

beforeEach(async () => {
  database = await freshDatabase();
  const session = await connectTo({ connectionString: database.url, transport: 'tcp' })();
  await ensureEngine(session);
  await session.close();
  others = [];
  await sql(
    database.url,
    `create schema shop;
     create table shop.orders (id int primary key, total int, note text);
     insert into shop.orders select i, null, 'n' from generate_series(1, 100) as i;
     create table shop.items (id int primary key, order_id int references shop.orders);
     create table public.orders (id int primary key)`,
  );
});

afterEach(async () => {
  for (const client of others) await client.end();
  await database.drop();
});

/** Another session, which says who it is and what it does. */
async function other(application: string, ...statements: readonly string[]): Promise<{ client: pg.Client; pid: number }> {
  const client = await database.client();
  others.push(client);
  await client.query(`set application_name = '${application}'`);
  for (const statement of statements) await client.query(statement);
  return { client, pid: (client as unknown as { processID: number }).processID };
}

/** Runs a statement that waits in vain, and asks who had the lock. */
// biome-ignore lint/suspicious/noExplicitAny: a document of the engine
async function refused(statement: string, waitMs = 60): Promise<{ blockers: any[]; said: string }> {
  const client = await database.client();
  try {
    await client.query(`set lock_timeout = ${waitMs}; set search_path = shop, public`);
    await client.query(
      `do $weft_test$
       declare s text; m text; d text; c text; b jsonb;
       begin
         execute $weft_statement$${statement}$weft_statement$;
         raise exception 'the lock was to be had';
       exception when lock_not_available or deadlock_detected then
         get stacked diagnostics s = returned_sqlstate, m = message_text, d = pg_exception_detail, c = pg_exception_context;
         b := weft._find_blockers(jsonb_build_object('sqlstate', s, 'message', m, 'detail', d, 'context', c), $weft_statement$${statement}$weft_statement$, ${waitMs});
         perform set_config('test.blockers', b::text, false), set_config('test.said', weft._say_blockers(b), false);
       end $weft_test$`,
    );
    const [row] = (await client.query(`select current_setting('test.blockers')::jsonb as blockers, current_setting('test.said') as said`)).rows;
    return row;
  } finally {
    await client.end();
  }
}

describe('one session that stands in the way is named for certain', () => {
  it.each([
    [
      'a change of a table, behind a reader that has not ended',
      'select * from shop.orders where id = 4711',
      'alter table shop.orders add column n int',
      'AccessShareLock',
    ],
    ['the same without its schema', 'select 1 from shop.orders', 'alter table orders add column n int', 'AccessShareLock'],
    ['an index, behind a writer', 'update shop.orders set total = 1 where id = 5', 'create index on shop.orders (total)', 'RowExclusiveLock'],
    ['an insert, behind somebody who has the whole table', 'lock table shop.orders in share mode', 'insert into shop.orders values (4711)', 'ShareLock'],
    [
      'a trigger, behind a writer',
      'delete from shop.orders where id = 7',
      'create trigger t before insert on shop.orders for each row execute function suppress_redundant_updates_trigger()',
      'RowExclusiveLock',
    ],
    ['what a DO block does', 'select 1 from shop.orders', `do $$ begin execute 'truncate shop.orders cascade'; end $$`, 'AccessShareLock'],
    ['an index that is dropped', 'select 1 from shop.orders', 'drop index shop.orders_pkey cascade', 'AccessShareLock'],
  ])('%s', async (_, held, wanted, mode) => {
    const { pid } = await other('the holder', 'begin', held);
    const { blockers, said } = await refused(wanted);
    expect(blockers).toMatchObject([
      { pid, application: 'the holder', state: 'idle in transaction', object: 'shop.orders', mode, granted: true, is_certain: true },
    ]);
    expect(said).toMatch(
      new RegExp(`^Held by backend ${pid} \\(application the holder, role \\w+, idle in transaction for [\\d.]+ s.*\\), which has ${mode} on shop.orders: `),
    );
  });

  it('a table whose name ends with a quote', async () => {
    const { pid } = await other('reader', 'create table shop."half """ (n int)', 'begin', 'select 1 from shop."half """');
    expect((await refused('drop table shop."half """')).blockers).toMatchObject([{ pid, object: 'shop."half """', is_certain: true }]);
  });

  it('a schema whose name ends with a quote', async () => {
    const { pid } = await other('maker', 'create schema "half """', 'begin', 'create table "half """.t (n int)');
    expect((await refused('drop schema "half """')).blockers).toMatchObject([{ pid, object: '"half """' }]);
  });

  it('a table on the other side of a foreign key', async () => {
    const { pid } = await other('reader', 'begin', 'select 1 from shop.items');
    expect((await refused('drop table shop.orders cascade')).blockers).toMatchObject([{ pid, object: 'shop.items', is_certain: true }]);
  });

  it('a partition of the table that is named', async () => {
    await sql(database.url, 'create table shop.log (n int) partition by list (n); create table shop.log_1 partition of shop.log for values in (1)');
    const { pid } = await other('reader', 'begin', 'select 1 from shop.log_1');
    expect((await refused('truncate shop.log')).blockers).toMatchObject([{ pid, object: 'shop.log_1', is_certain: true }]);
  });

  it('a table under a view', async () => {
    await sql(database.url, 'create view shop.few as select * from shop.orders limit 3');
    const { pid } = await other('changer', 'begin', 'lock table shop.orders');
    expect((await refused('select * from shop.few')).blockers).toMatchObject([{ pid, object: 'shop.orders', mode: 'AccessExclusiveLock', is_certain: true }]);
  });

  it('a row, among others that use the same table', async () => {
    await other('another writer', 'begin', 'update shop.orders set total = 1 where id = 1');
    const { pid } = await other('the one', 'begin', 'update shop.orders set total = 2 where id = 2');
    const { blockers, said } = await refused('update shop.orders set total = 3 where id in (2, 3)');
    expect(blockers).toMatchObject([
      {
        pid,
        application: 'the one',
        object: 'a row of shop.orders',
        mode: 'row lock',
        is_certain: true,
        query: 'update shop.orders set total = ? where id = ?',
      },
    ]);
    expect(said).toContain('which has row lock on a row of shop.orders: update shop.orders set total = ? where id = ?.');
  });

  it('a row, and no policy of a table that is only called the same is run to find it', async () => {
    await sql(
      database.url,
      `create schema lowly;
       create table lowly.loot (who name);
       create function lowly.evil() returns boolean language plpgsql as $$ begin insert into lowly.loot values (current_user); return true; end $$;
       create table lowly.orders (id int primary key, total int);
       insert into lowly.orders select i from generate_series(1, 100) as i;
       alter table lowly.orders enable row level security, force row level security;
       create policy p on lowly.orders using (lowly.evil())`,
    );
    const holder = await other('holder', 'begin', 'update shop.orders set total = 1 where id = 7', 'lock table lowly.orders in access share mode');
    const { blockers } = await refused('update shop.orders set total = 2 where id = 7');
    expect(blockers[0]).toMatchObject({ pid: holder.pid, mode: 'row lock' });
    expect(await sql(database.url, 'select * from lowly.loot')).toEqual([]);
  });

  it('a row that several hold together', async () => {
    const one = await other('one', 'begin', 'select from shop.orders where id = 2 for share');
    const two = await other('two', 'begin', 'select from shop.orders where id = 2 for share');
    const { blockers } = await refused('delete from shop.orders where id = 2');
    expect(blockers.map(({ pid, is_certain }) => ({ pid, is_certain })).toSorted((a, b) => a.pid - b.pid)).toEqual(
      [one.pid, two.pid].toSorted((a, b) => a - b).map((pid) => ({ pid, is_certain: true })),
    );
  });

  it('a row that a foreign key looks for', async () => {
    const { pid } = await other('the holder', 'begin', 'delete from shop.orders where id = 2');
    expect((await refused('insert into shop.items values (1, 2)')).blockers).toMatchObject([{ pid, object: 'a row of shop.orders', is_certain: true }]);
  });

  it.runIf(offers('a superuser'))('a transaction that was prepared, and belongs to no session any more', async () => {
    await other('gone', 'begin', 'update shop.orders set total = 1', `prepare transaction 'of ${database.name}'`);
    const { blockers, said } = await refused('alter table shop.orders add column n int');
    await sql(database.url, `rollback prepared 'of ${database.name}'`);
    expect(blockers).toMatchObject([{ prepared: `of ${database.name}`, object: 'shop.orders', mode: 'RowExclusiveLock', is_certain: true }]);
    expect(said).toContain(`the prepared transaction 'of ${database.name}'`);
  });

  it('who came first in the queue, and whom that one waits for', async () => {
    const reader = await other('reader', 'begin', 'select 1 from shop.orders');
    const waiter = await other('changer');
    const waiting = waiter.client.query('alter table shop.orders add column n int').catch(() => undefined);
    await until(database.url, `exists (select from pg_locks where pid = ${waiter.pid} and not granted)`);
    const { blockers, said } = await refused('insert into shop.orders values (4711)');
    expect(blockers).toMatchObject([
      { pid: waiter.pid, granted: false, mode: 'AccessExclusiveLock', waits_for: 'Lock: relation', behind: [{ pid: reader.pid, application: 'reader' }] },
    ]);
    expect(said).toMatch(
      new RegExp(`^backend ${waiter.pid} .* asked before for AccessExclusiveLock on shop.orders and waits behind backend ${reader.pid} \\(application reader`),
    );
    await reader.client.query('rollback');
    await waiting;
  });

  it('both sides of a deadlock', async () => {
    const { client, pid } = await other('the other side', 'begin', 'update shop.orders set total = 1 where id = 1');
    // The other one looks for a deadlock a second after it began to wait, and finds none yet: so it is us whom the server ends.
    const second = client.query(`do $$ begin perform pg_sleep(0.2); update shop.orders set total = 1 where id = 2; end $$`).catch(() => undefined);
    const { blockers, said } = await refused(
      'do $$ begin update shop.orders set total = 1 where id = 2; perform pg_sleep(1.7); update shop.orders set total = 1 where id = 1; end $$',
      20_000,
    );
    await second;
    expect(blockers).toMatchObject([{ pid, is_certain: true }]);
    expect(said).toContain(`In a deadlock with backend ${pid} (application the other side`);
  });
});

describe('where it is not certain', () => {
  it('a key that somebody is just inserting: whoever has written to the table is named as a guess', async () => {
    const { pid } = await other('inserter', 'begin', 'insert into shop.orders values (4711)');
    const { blockers, said } = await refused('insert into shop.orders values (4711)');
    expect(blockers).toMatchObject([{ pid, object: 'shop.orders', mode: 'RowExclusiveLock', is_certain: false }]);
    expect(said).toMatch(/^Perhaps held by backend /);
  });

  it('an advisory lock', async () => {
    const { pid } = await other('keeper', 'select pg_advisory_lock(11)');
    expect((await refused('select pg_advisory_xact_lock(11)')).blockers).toMatchObject([{ pid, object: 'an advisory lock', is_certain: false }]);
  });

  it('a session that came later than the wait began was no hindrance, and is named only where there is nobody else', async () => {
    const { pid } = await other('first', 'begin', 'select 1 from shop.orders');
    const waiting = refused('alter table shop.orders add column n int', 700);
    await until(database.url, `exists (select from pg_locks where not granted and locktype = 'relation')`);
    const late = await other('late', 'begin', 'lock table shop.items in row exclusive mode');
    const { blockers } = await waiting;
    expect(blockers.map((blocker) => blocker.pid)).toEqual([pid]);
    expect(late.pid).not.toBe(pid);
  });

  it('nobody: that is said', async () => {
    await other('of something else', 'begin', 'select 1 from public.orders');
    const said = await sql(
      database.url,
      `select weft._say_blockers(weft._find_blockers('{"sqlstate": "55P03", "message": "canceling statement due to lock timeout"}', 'alter table shop.orders add n int')) as said`,
    );
    expect(said[0].said).toBe('Who had the lock cannot be told: when it was looked for, nobody had one on anything that the statement names.');
  });

  it.runIf(offers('a superuser'))(
    'a session of a role that may not be looked at: its number, application and role are shown, and that the rest is not',
    async () => {
      const admin = new (await import('pg')).default.Client({ connectionString: database.superuserUrl ?? '' });
      others.push(admin);
      await admin.connect();
      await admin.query(`set application_name = 'of the administrator'; begin; select 1 from shop.orders`);
      const { blockers, said } = await refused('alter table shop.orders add column n int');
      expect(blockers).toMatchObject([{ application: 'of the administrator', object: 'shop.orders', is_certain: true }]);
      expect(blockers[0]).not.toHaveProperty('query');
      expect(said).toContain('what it does is not shown to this role');
    },
  );
});

describe('a deployment whose lock was not to be had', () => {
  const FEW_TRIES = { lock_attempts_count: 3, lock_wait_between_ms: 1, lock_wait_between_ms_max: 1 };
  const FILES = { '1.sql': 'create table shop.more (n int);', '2.sql': 'alter table shop.orders add column n int;' };

  it.each(['single', 'per-step', 'none'] as const)('%s: each try is told with who had the lock, and the last word says it', async (transaction) => {
    await setLimits(database.url, FEW_TRIES);
    const { pid } = await other('psql', 'begin', `update shop.orders set note = 'a secret' where id = 47`);
    const end = await deployFiles(connectOver(database.url), FILES, { transaction, lockTimeout: '10ms' });
    const blocker = { pid, application: 'psql', state: 'idle in transaction', object: 'shop.orders', mode: 'RowExclusiveLock', is_certain: true };
    const query = 'update shop.orders set note = ? where id = ?';
    expect(end).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: '55P03',
        path: '2.sql',
        blockers: [{ ...blocker, query }],
        detail: expect.stringMatching(
          new RegExp(
            `^Held by backend ${pid} \\(application psql, role \\w+, idle in transaction for .*\\), which has RowExclusiveLock on shop.orders: update shop.orders set note = \\? where id = \\?\\.$`,
          ),
        ),
        hint: expect.stringContaining(`select pg_terminate_backend(${pid})`),
      },
    });
    const tries = await sql(database.url, `select data -> 'blockers' as blockers from weft.events where kind = 'lock_not_available'`);
    expect(tries).toHaveLength(2);
    for (const { blockers } of tries) expect(blockers).toMatchObject([{ ...blocker, query }]);
    expect(JSON.stringify(await sql(database.url, 'select * from weft.events')), 'what stood in the statement').not.toContain('a secret');
    expect(renderSummary(end, UNCOLOURED)).toContain(`Detail: Held by backend ${pid} (application psql`);
  });

  it('a condition that waited in vain names them too', async () => {
    await setLimits(database.url, FEW_TRIES);
    const { pid } = await other('psql', 'begin', 'lock table shop.orders');
    const end = await deployFiles(connectOver(database.url), {
      'weft.yaml': JSON.stringify({
        name: 'shop',
        phases: [{ name: 'main', transaction: 'single', lock_timeout: '10ms', steps: [{ run: '1.sql', when: '(select count(*) from shop.orders) > 0' }] }],
      }),
      '1.sql': 'select 1;',
    });
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate: '55P03', blockers: [{ pid, mode: 'AccessExclusiveLock' }] } });
  });
});

describe('a statement of somebody else is shown without what stands in it', () => {
  it.each([
    [`select 'secret', 47, 1.5e-3, 0x1F, .5, -7 from t1 where a1 = $1`, 'select ?, ?, ?, ?, ?, -? from t1 where a1 = $1'],
    [`update "my 'table" set note = 'it''s', b = E'it\\'s', x = X'ff', u = U&'d\\0061'`, `update "my 'table" set note = ?, b = ?, x = ?, u = ?`],
    [`do $$ begin perform 'secret'; end $$`, 'do ?'],
    [`select $tag$ a $$ b $tag$, $1`, 'select ?, $1'],
    [`select 1 -- secret\n/* secret /* deeper */ secret */ from\n\tt`, 'select ? from t'],
    [`select 'cut off in the midd`, 'select ?'],
    [`select $$cut off`, 'select ?'],
    [`select 1 /* cut off`, 'select ?'],
    [`alter role r password 'secret'`, 'alter role r password ?'],
    [`select 'where this ends \\' nobody knows' from secret`, 'select ?'],
    ['select näme from tüte where größe > 5', 'select näme from tüte where größe > ?'],
    ['', ''],
  ])('%j', async (text, stripped) => {
    expect((await sql(database.url, 'select weft._strip_literals($1) as stripped', [text]))[0].stripped).toBe(stripped);
  });
});
