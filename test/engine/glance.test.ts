/**
 * What whoever waits asks twice a second: weft.glance(). It says what is going on, and whether anything was committed since; who knows the document of
 * the same mark need not read that again.
 */
import pg from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, deployFiles, shutGate, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;
let client: pg.Client | undefined;
beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table orders (id bigint primary key, total int); insert into orders select i, null from generate_series(1, 200) as i');
});
afterEach(async () => {
  await client?.end();
  await database.drop();
});

const BUNDLE = `
name: shop
phases:
  - { name: schema, transaction: single, steps: [{ run: "s*.sql" }], checks: [none.sql] }
  - { name: onebyone, transaction: per-step, steps: [{ run: "p*.sql" }, { run: wrong.sql, on_error: continue }] }
  - { name: apart, transaction: none, steps: [{ run: apart.sql }] }
  - { name: totals, steps: [{ batch: fill.sql, size: 20, pause: 20ms }] }
`;
const FILES = {
  'weft.yaml': BUNDLE,
  's1.sql': 'create table s1 (n int);',
  's2.sql': 'create table s2 (n int); select pg_sleep(0.2);',
  'none.sql': 'select 1 where false',
  'p1.sql': 'create table p1 (n int);',
  'p2.sql': 'create table p2 (n int); select pg_sleep(0.1);',
  'wrong.sql': 'select 1 / 0;',
  'apart.sql': 'create index concurrently orders_total on orders (total);\nselect pg_sleep(0.1);\nvacuum orders;',
  'fill.sql': 'update orders set total = 1 where id in (select id from orders where total is null limit :size);',
};

interface Document {
  readonly state: string;
  readonly ahead: unknown;
  readonly live: unknown;
}

it('shows the state, those ahead, who is at work and the newest event, as weft.status() does; and a mark that stays the same only while all else of it does', async () => {
  const looker = new pg.Client({ connectionString: database.url });
  client = looker;
  await looker.connect();
  const stop = new AbortController();
  const documents = new Map<string, string>();
  const lives = new Set<string>();
  const look = async (): Promise<void> => {
    await looker.query('begin isolation level repeatable read'); // both see the same moment, but for who is at work
    const { rows } = await looker.query(
      'select weft.glance(d.id) as before, weft.status(d.id) as status, (select count(*)::int from weft._events as e where e.deployment_id = d.id) as events from weft._deployments as d',
    );
    await looker.query('commit');
    for (const { before, status, events } of rows as { before: Document & { mark: string; event: number }; status: Document; events: number }[]) {
      const { live, ...rest } = status;
      expect({ state: before.state, ahead: before.ahead, event: before.event }).toEqual({ state: status.state, ahead: status.ahead, event: events });
      if (before.live !== null && live !== null)
        lives.add(Object.keys(before.live as object).join() === Object.keys(live as object).join() ? 'alike' : 'otherwise');
      const known = documents.get(before.mark);
      if (known !== undefined) expect(JSON.stringify(rest)).toBe(known);
      documents.set(before.mark, JSON.stringify(rest));
    }
  };
  const looking = (async () => {
    while (!stop.signal.aborted) await look();
  })();
  const { state } = await Promise.race([deployFiles(connectOver(database.url), FILES), looking.then(() => Promise.reject(new Error('The looks ended.')))]);
  stop.abort();
  await looking;
  await look();
  expect([state, [...lives]]).toEqual(['degraded', ['alike']]);
  expect(documents.size).toBeGreaterThan(15); // ten rounds alone, and each phase
  expect(new Set(documents.values()).size).toBe(documents.size);
});

it('is null of what is not there', async () => {
  expect(await sql(database.url, 'select weft.glance(gen_random_uuid()) as document')).toEqual([{ document: null }]);
});

// Rows show a moment; who is at work on what is seen at the look itself.
it('shows nobody at work on a file while those before it stand as not yet run', async () => {
  const files = {
    'weft.yaml': 'name: shop\nphases:\n  - { name: schema, steps: [{ run: 1.sql }] }\n  - { name: indexes, transaction: none, steps: [{ run: 2.sql }] }\n',
    '1.sql': AT_THE_GATE,
    '2.sql': 'select count(*) from orders;',
  };
  const keeper = new pg.Client({ connectionString: database.url });
  client = keeper;
  await keeper.connect();
  const gate = await shutGate(database.url);
  const run = deployFiles(connectOver(database.url), files);
  await gate.reached();
  // A look that has begun, and does not come to its end until the run is in the second phase.
  await keeper.query('begin; lock table weft._receipts, orders');
  const looking = sql(database.url, 'select weft.status(d.id) as document from weft._deployments as d');
  await until(database.url, "exists (select from pg_locks where relation = 'weft._receipts'::regclass and not granted)", 'the look stands still');
  await gate.open();
  await until(database.url, "exists (select from pg_locks where relation = 'orders'::regclass and not granted)", 'the second phase has begun');
  await keeper.query('rollback');
  const [{ document } = {}] = (await looking) as { document: { live: { step: number }; phases: { steps: { state: string }[] }[] } }[];
  const states = document?.phases.flatMap(({ steps }) => steps.map(({ state }) => state));
  expect([states, document?.live.step]).toEqual([['pending', 'pending'], 1]);
  expect((await run).state).toBe('succeeded');
});
