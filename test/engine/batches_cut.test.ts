/**
 * A batch, cut between and inside of its rounds, hindering others, and asked to end. A ledger without a key, written by a trigger, is the witness:
 * each row was touched once, in as many transactions as there were rounds.
 */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, shutGate, stageFiles, until } from '../support/orders.ts';
import { type OwnServer, startOwnServer } from '../support/own_server.ts';
import { offers } from '../support/source.ts';
import { sql } from '../support/sql.ts';

const SET_UP = `
create schema shop;
create table shop.orders (id bigint primary key, total int not null default 0);
insert into shop.orders (id) select generate_series(1, 1000);
create table shop.ledger (id bigint, at_xid xid8 default pg_current_xact_id());
create function shop.note() returns trigger language plpgsql as $$
begin
  insert into shop.ledger (id) values (new.id);
  if new.id = 450 then perform pg_advisory_xact_lock_shared(47); end if;
  return new;
end $$;
create trigger note after update on shop.orders for each row execute function shop.note()`;

/** Leaves nothing out: whatever runs twice, touches rows twice. */
const STATEMENT = `update shop.orders set total = total + 1
where id in (select id from shop.orders where id > :'cursor' order by id limit :size) returning id as cursor`;

const files = (words: Readonly<Record<string, unknown>> = {}, statement = STATEMENT, phase: Readonly<Record<string, unknown>> = {}) => ({
  'weft.yaml': JSON.stringify({
    name: 'shop',
    phases: [{ name: 'totals', lock_timeout: '1h', ...phase, steps: [{ batch: 'fill.sql', size: 100, cursor: 0, ...words }] }],
  }),
  'fill.sql': statement,
});
const ledger = async (url: string) =>
  (
    await sql(
      url,
      `select count(*)::int as touched, count(distinct at_xid)::int as rounds, max(n)::int as most from (select at_xid, count(*) over (partition by id) as n from shop.ledger) as l`,
    )
  )[0];
const WHOLE = { touched: 1000, rounds: 10, most: 1 };
const batchOf = async (url: string) => (await sql(url, 'select rounds::int, rows::int, cursor, state::text from weft.batches'))[0];

async function call(url: string, id: string): Promise<{ pid: number; answer: Promise<string>; client: pg.Client }> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  const answer = client.query(`call weft.run('${id}')`).then(
    ({ rows }) => rows[0].result.state as string,
    () => 'lost',
  );
  return { pid: (client as unknown as { processID: number }).processID, answer, client };
}

describe.runIf(offers('servers to kill'))('cut in the middle of its fifth round', () => {
  let server: OwnServer;
  beforeAll(async () => {
    server = await startOwnServer();
  });
  afterAll(() => server?.postgres.stop());

  it.each<[string, (url: string, runner: Awaited<ReturnType<typeof call>>) => Promise<unknown>]>([
    ['the backend is terminated', (url, { pid }) => sql(url, `select pg_terminate_backend(${pid}, 10000)`)],
    [
      'the server is killed and started again',
      async () => {
        await server.postgres.kill9();
        await server.postgres.restart();
      },
    ],
  ])('%s: the four before it stay, and the next call runs the others, none twice', async (_, cut) => {
    const url = await server.createDatabase();
    await sql(url, SET_UP);
    const id = await stageFiles(url, files());
    const gate = await shutGate(url);
    const runner = await call(url, id);
    await gate.reached();
    await cut(url, runner);
    expect(await runner.answer).toBe('lost');
    await runner.client.end().catch(() => undefined);
    expect(await batchOf(url)).toEqual({ rounds: 4, rows: 400, cursor: '400', state: 'pending' });
    expect(await ledger(url)).toEqual({ touched: 400, rounds: 4, most: 1 });

    await gate.open().catch(() => undefined);
    const end = await resume({ connect: connectOver(url), id, target: null, deadlineMs: 50_000 });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 1000, batch: { rounds: 10 } }] }] });
    expect(await ledger(url)).toEqual(WHOLE);
  });

  it('the client is gone: the rounds go on without it, to the end', async () => {
    const url = await server.createDatabase();
    await sql(url, SET_UP);
    const id = await stageFiles(url, files());
    const gate = await shutGate(url);
    const runner = await call(url, id);
    await gate.reached();
    (runner.client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await gate.open();
    await until(url, `(select state from weft.deployments) = 'succeeded'`);
    expect(await ledger(url)).toEqual(WHOLE);
  });

  it('deaths without a word do not fail it while rounds get done in between', async () => {
    const url = await server.createDatabase();
    await sql(
      url,
      `${SET_UP.replace('if new.id = 450 then perform pg_advisory_xact_lock_shared(47); end if;', 'if new.id % 100 = 50 and (select count(*) from shop.killed) <= new.id / 100 then perform pg_terminate_backend(pg_backend_pid()); end if;')}; create table shop.killed (n int)`,
    );
    const id = await stageFiles(url, files({ size: 10 }));
    for (let n = 0; n < 100; n++) {
      const answer = await (await call(url, id)).answer;
      if (answer === 'succeeded') break;
      // A backend that is ending still may be seen: then the call leaves the rest to it, and the next one goes on.
      if (answer === 'lost') await sql(url, 'insert into shop.killed values (1)');
    }
    expect(await ledger(url)).toMatchObject({ touched: 1000, most: 1 });
    expect(await sql(url, 'select state, deaths from weft._deployments')).toEqual([{ state: 'succeeded', deaths: 0 }]);
  });
});

describe('with others in the same table', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await freshDatabase();
    await sql(database.url, SET_UP);
  });
  afterEach(() => database.drop());

  it('is cancelled in the middle of a round, which is rolled back; the account says what stays, and the next deployment goes on behind it', async () => {
    const id = await stageFiles(database.url, files());
    const gate = await shutGate(database.url);
    const { answer, client } = await call(database.url, id);
    await gate.reached();
    await sql(database.url, `select weft.cancel('${id}')`);
    expect(await answer).toBe('cancelled');
    await client.end();
    await gate.open();
    const [{ status }] = await sql(database.url, `select weft.status('${id}') as status`);
    expect(status).toMatchObject({
      error: { detail: 'What had ended before stays. fill.sql: 4 rounds of it, with 400 rows, are in the database.' },
      phases: [
        {
          steps: [
            {
              state: 'pending',
              account: expect.stringContaining(
                'Deploy it as it is and it goes on behind them. A corrected statement is refused until weft.yaml says beside it',
              ),
            },
          ],
        },
      ],
    });
    const next = await stageFiles(database.url, files());
    expect(await (await call(database.url, next)).answer).toBe('succeeded');
    expect(await ledger(database.url)).toEqual(WHOLE);
  });

  it('is cancelled while it pauses, at once', async () => {
    const id = await stageFiles(database.url, files({ pause: '1h' }));
    const { answer, client } = await call(database.url, id);
    await until(
      database.url,
      `exists (select from pg_stat_activity as a join weft._lease as l using (pid) where a.wait_event = 'PgSleep') and (select rounds from weft.batches) = 1`,
    );
    const [held] = await sql(
      database.url,
      `select count(*)::int as locks, bool_or(a.backend_xmin is not null) as has_snapshot from pg_locks as l join weft._lease as e using (pid) join pg_stat_activity as a using (pid) where l.locktype = 'relation' and l.relation::regclass::text like 'shop.%'`,
    );
    expect(held.locks, 'the pause holds nothing').toBe(0);
    await sql(database.url, `select weft.cancel('${id}')`);
    expect(await answer).toBe('cancelled');
    await client.end();
    expect(await ledger(database.url)).toEqual({ touched: 100, rounds: 1, most: 1 });
  });

  it('a round that waits for a lock in vain is tried again with half the size; each try tells who had the lock', async () => {
    const other = await database.client();
    await other.query(`set application_name = 'psql'; begin`);
    await other.query('update shop.orders set total = 7 where id = 250');
    const id = await stageFiles(database.url, files({}, STATEMENT, { lock_timeout: '20ms' }));
    const { answer, client } = await call(database.url, id);
    await until(database.url, `(select count(*) from weft.events where kind = 'lock_not_available') >= 2`);
    await other.query('rollback');
    await other.end();
    expect(await answer).toBe('succeeded');
    await client.end();
    expect(await ledger(database.url)).toMatchObject({ touched: 1000, most: 1 });
    const [first] = await sql(database.url, `select data from weft.events where kind = 'lock_not_available' order by number limit 1`);
    expect(first.data).toMatchObject({
      path: 'fill.sql',
      blockers: [{ application: 'psql', object: 'a row of shop.orders', is_certain: true, query: 'update shop.orders set total = ? where id = ?' }],
    });
    const sizes = await sql(database.url, 'select count(*)::int as count from shop.ledger group by at_xid order by min(id)');
    expect(
      sizes.slice(0, 3).map(({ count }) => count),
      'two whole ones, then smaller ones',
    ).toEqual([100, 100, 25]);
  });

  it('fails after lock_attempts_count tries of one round; the ones before it stay', async () => {
    const other = await database.client();
    await other.query(`set application_name = 'psql'; begin; update shop.orders set total = 7 where id = 201`);
    const id = await stageFiles(database.url, files({}, STATEMENT, { lock_timeout: '10ms' }));
    await setLimits(database.url, { lock_attempts_count: 3, lock_wait_between_ms: 1, lock_wait_between_ms_max: 1 });
    const { answer, client } = await call(database.url, id);
    expect(await answer).toBe('failed');
    await client.end();
    await other.end();
    const [{ status }] = await sql(database.url, `select weft.status('${id}') as status`);
    expect(status).toMatchObject({
      error: {
        sqlstate: '55P03',
        path: 'fill.sql',
        blockers: [{ application: 'psql' }],
        detail: expect.stringMatching(/^Held by backend .*2 rounds of it, with 200 rows, are in the database\.$/s),
      },
    });
  });

  it('others who wait for a round make the next ones smaller, which is told when it begins and when it is over', async () => {
    await sql(
      database.url,
      `create function shop.wait_for_waiter() returns void language plpgsql as $$ begin
      while not exists (select from pg_locks where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))) loop perform pg_sleep(0.01); perform pg_stat_clear_snapshot(); end loop; end $$`,
    );
    const id = await stageFiles(
      database.url,
      files(
        { size: 10 },
        `with found as (select id from shop.orders where id > :cursor order by id limit :size),
      done as (update shop.orders as o set total = 1 from found as f where o.id = f.id returning case when o.id = 40 then shop.wait_for_waiter() end)
      select max(id) as cursor, count(*) as rows, (select count(*) from done) as done from found`,
      ),
    );
    const { answer, client } = await call(database.url, id);
    await until(database.url, `(select rounds from weft.batches) = 3`);
    const waiter = await database.client();
    await waiter.query(`set application_name = 'a customer'`);
    await waiter.query('update shop.orders set total = 5 where id = 31');
    expect(await answer).toBe('succeeded');
    await Promise.all([waiter.end(), client.end()]);
    const told = await sql(database.url, `select kind, data from weft.events where kind like 'batch_%throttled' order by number`);
    expect(told).toMatchObject([
      {
        kind: 'batch_throttled',
        data: { why: 'others wait', rounds: 4, size: 5, waiting: [{ application: 'a customer', waits_for: expect.stringMatching(/^Lock/) }] },
      },
      { kind: 'batch_unthrottled', data: { rounds: 14 } },
    ]);
    expect((await batchOf(database.url)).rows).toBe(1000);
  });
});
