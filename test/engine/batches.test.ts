/**
 * A batch: one statement, repeated until it touches no row. Each round is a transaction with its record; a table without a key and a
 * trigger are the witnesses that none was run twice.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deploy } from '../../src/deployment/deploy.ts';
import { resume } from '../../src/deployment/resume.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, makeOrder } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create schema shop;
     create table shop.orders (id bigint primary key, total int);
     insert into shop.orders select i * 3, null from generate_series(1, 1000) as i;
     create table shop.ledger (id bigint, at_xid xid8 default pg_current_xact_id());
     create function shop.note() returns trigger language plpgsql as $$ begin insert into shop.ledger (id) values (new.id); return new; end $$;
     create trigger note after update on shop.orders for each row execute function shop.note()`,
  );
});

afterEach(() => database.drop());

const BY_FILTER = 'update shop.orders set total = 1 where id in (select id from shop.orders where total is null order by id limit :size);';
const BY_CURSOR = `update shop.orders set total = coalesce(total, 0) + 1
where id in (select id from shop.orders where id > :'cursor' order by id limit :size)
returning id as cursor;`;

interface Words {
  readonly size?: number;
  readonly target?: string;
  readonly cursor?: number | string;
  readonly max_rounds?: number;
  readonly done_when?: string;
  readonly when?: string;
  readonly on_error?: string;
  readonly pause?: string;
}

/** Deploys one batch in a phase of its own. */
function deployBatch(statement: string, words: Words = {}, phase: Readonly<Record<string, unknown>> = {}): Promise<Deployment> {
  return deployFiles(connectOver(database.url), {
    'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'totals', ...phase, steps: [{ batch: 'fill.sql', ...words }] }] }),
    'fill.sql': statement,
  });
}

/** How many rows were touched, in how many transactions, and how often one of them at most. */
const ledger = async () =>
  (
    await sql(
      database.url,
      `select count(*)::int as touched, count(distinct at_xid)::int as rounds, coalesce(max(n), 0)::int as most from (select at_xid, count(*) over (partition by id) as n from shop.ledger) as l`,
    )
  )[0];
const events = async () => (await sql(database.url, `select kind from weft.events where path is not null order by number`)).map(({ kind }) => kind);

describe('a batch', () => {
  it.each(['per-step', 'auto', 'none'] as const)('runs in rounds of its size until no row is touched, each committed by itself: %s', async (transaction) => {
    const end = await deployBatch(BY_FILTER, { size: 300 }, { transaction });
    expect(end).toMatchObject({
      state: 'succeeded',
      phases: [
        {
          state: 'succeeded',
          steps: [
            {
              kind: 'batch',
              path: 'fill.sql',
              state: 'succeeded',
              rows: 1000,
              result: { rounds: 4, size: 300 },
              batch: { rounds: 4, rows: 1000, table: 'shop.orders' },
            },
          ],
        },
      ],
    });
    expect(await ledger()).toEqual({ touched: 1000, rounds: 4, most: 1 });
    expect(await events(), 'the journal does not grow with the rounds').toEqual(['batch_started', 'step_succeeded']);
    expect(await sql(database.url, 'select path, rounds::int, rows::int, size, table_name, cursor from weft.batches')).toEqual([
      { path: 'fill.sql', rounds: 4, rows: 1000, size: 300, table_name: 'shop.orders', cursor: null },
    ]);
    expect(await sql(database.url, 'select path from weft.history')).toEqual([{ path: 'fill.sql' }]);
    expect((await deployBatch(BY_FILTER, { size: 300 }, { transaction })).phases[0]?.steps[0]?.state, 'once').toBe('skipped');
  });

  it('walks with a cursor, which is the greatest of the rows that come back: each row once, also where the statement leaves nothing out', async () => {
    const end = await deployBatch(BY_CURSOR, { size: 300, cursor: 0 });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 1000, batch: { rounds: 4 } }] }] });
    expect(await ledger()).toEqual({ touched: 1000, rounds: 4, most: 1 });
    expect(await sql(database.url, 'select cursor from weft.batches')).toEqual([{ cursor: '3000' }]);
    expect(JSON.stringify(end.phases[0]?.steps[0]?.batch), 'a value out of a table').not.toContain('3000');
  });

  it('compares cursors by their own type', async () => {
    await sql(
      database.url,
      `create table moments (at timestamptz primary key, is_seen boolean); set timezone = 'America/New_York';
       insert into moments select '2026-10-31 22:00+00'::timestamptz + i * interval '10 minutes' from generate_series(1, 100) as i;
       create table things (id uuid primary key, is_seen boolean); insert into things select gen_random_uuid() from generate_series(1, 100)`,
    );
    const walk = (table: string, column: string) =>
      `update ${table} set is_seen = is_seen is null where ${column} in (select ${column} from ${table} where ${column} > :cursor order by 1 limit :size) returning ${column} as cursor`;
    const end = await deployFiles(connectOver(database.url), {
      'weft.yaml': JSON.stringify({
        name: 'shop',
        phases: [
          {
            name: 'p',
            settings: { timezone: 'America/New_York', datestyle: 'German' },
            steps: [
              { batch: '1.sql', size: 7, cursor: '-infinity' },
              { batch: '2.sql', size: 7, cursor: '00000000-0000-0000-0000-000000000000' },
            ],
          },
        ],
      }),
      '1.sql': walk('moments', 'at'),
      '2.sql': walk('things', 'id'),
    });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 100 }, { rows: 100 }] }] });
    expect(await sql(database.url, 'select bool_and(is_seen) as once from (select is_seen from moments union all select is_seen from things) as t')).toEqual([
      { once: true },
    ]);
  });

  it('may return one row with its cursor and how many rows it has looked at, so that a stretch where all is done does not end it', async () => {
    await sql(database.url, 'update shop.orders set total = 7 where id between 400 and 2000; truncate shop.ledger');
    const end = await deployBatch(
      `with found as (select id from shop.orders where id > :cursor order by id limit :size),
            done as (update shop.orders as o set total = 1 from found as f where o.id = f.id and o.total is null)
       select max(id) as cursor, count(*) as rows from found`,
      { size: 100, cursor: 0 },
    );
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 1000, batch: { rounds: 10, table: 'shop.orders' } }] }] });
    expect(await sql(database.url, 'select count(*)::int as count from shop.orders where total is null')).toEqual([{ count: 0 }]);
    expect((await ledger()).most).toBe(1);
  });

  it('inserts and deletes as well, with a WITH in front, under a function, or by MERGE', async () => {
    await sql(
      database.url,
      `create table shop.archive (like shop.orders); create function shop.take(n int) returns setof bigint language sql as
       'delete from shop.archive where id in (select id from shop.archive limit n) returning id'`,
    );
    const move =
      'with gone as (delete from shop.orders where id in (select id from shop.orders order by id limit :size) returning *) insert into shop.archive select * from gone';
    expect(await deployBatch(move, { size: 400 })).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 1000, batch: { rounds: 3 } }] }] });
    const end = await deployFiles(connectOver(database.url), {
      'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'p', steps: [{ batch: 'take.sql', size: 250 }] }] }),
      'take.sql': 'select shop.take(:size)',
    });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 1000, batch: { rounds: 4, table: null } }] }] });
  });

  it('adds as many rows as there are, also without a word of how many rounds that takes: there is nothing to hold them against', async () => {
    await sql(
      database.url,
      `create table shop.old (id int primary key, note text); insert into shop.old select generate_series(1, 7000);
       create table shop.moved (like shop.old); create table shop.kept (id int primary key, note text);
       create function shop.mark(n int) returns setof int language sql as
       $$ update shop.kept set note = 'seen' where id in (select id from shop.kept where note is null order by id limit n) returning id $$`,
    );
    const batches = [
      'insert into shop.kept select * from shop.old as o where not exists (select from shop.kept as k where k.id = o.id) order by o.id limit :size',
      'select * from shop.mark(:size)',
      'with gone as (delete from shop.old where id in (select id from shop.old order by id limit :size) returning *) insert into shop.moved select * from gone',
    ];
    for (const statement of batches) {
      const end = await deployFiles(connectOver(database.url), {
        'weft.yaml': JSON.stringify({ name: `shop-${batches.indexOf(statement)}`, phases: [{ name: 'p', steps: [{ batch: 'all.sql' }] }] }),
        'all.sql': statement,
      });
      expect(end, statement).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 7000, batch: { rounds: 7 } }] }] });
    }
    expect(await sql(database.url, 'select (select count(*)::int from shop.old) as left, (select count(*)::int from shop.moved) as moved')).toEqual([
      { left: 0, moved: 7000 },
    ]);
  });

  it('adds by MERGE, too, into a table that had none', async ({ skip }) => {
    const [{ version }] = await sql(database.url, `select current_setting('server_version_num')::int as version`);
    if (version < 150000) skip('there is no MERGE before 15');
    await sql(
      database.url,
      'create table shop.kept (id int primary key); create table shop.old (id int primary key); insert into shop.old select generate_series(1, 7000)',
    );
    const end = await deployBatch(
      `merge into shop.kept as k using (select o.id from shop.old as o where not exists (select from shop.kept as h where h.id = o.id) order by o.id limit :size) as s
       on k.id = s.id when not matched then insert values (s.id)`,
    );
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 7000, batch: { rounds: 7 } }] }] });
  });

  it('runs as the role and with the settings of its phase, each round from the same ones; a role that may do nothing with Weft', async () => {
    const [{ role }] = await sql(database.url, `select 'weft_batch_' || substr(md5(random()::text), 1, 8) as role`);
    await sql(
      database.url,
      `create role ${role}; grant ${role} to current_user; grant usage on schema shop to ${role}; grant all on all tables in schema shop to ${role}`,
    );
    try {
      const end = await deployBatch(
        `update orders set total = 1 where current_user = '${role}' and current_setting('work_mem') = '7MB' and set_config('work_mem', '9MB', false) is not null
         and id in (select id from orders where total is null and id > :cursor order by id limit :size) returning id as cursor`,
        { size: 400, cursor: 0 },
        { role, settings: { search_path: 'shop', work_mem: '7MB' } },
      );
      expect(end).toMatchObject({ error: null, state: 'succeeded', phases: [{ steps: [{ rows: 1000 }] }] });
    } finally {
      await sql(database.url, `drop owned by ${role}; drop role ${role}`);
    }
  });

  it('is left out by its condition, which is asked once and recorded', async () => {
    expect(await deployBatch(BY_FILTER, { when: 'false' })).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{ state: 'skipped', is_wanted: false }] }],
    });
    const once = '(select count(*) from shop.ledger) = 0';
    expect(await deployBatch(BY_FILTER, { when: once, size: 300 })).toMatchObject({
      state: 'succeeded',
      phases: [{ steps: [{ rows: 1000, is_wanted: true }] }],
    });
  });

  it('is left out with its phase', async () => {
    const end = await deployBatch(BY_FILTER, {}, { when: 'false' });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ state: 'skipped', steps: [{ state: 'skipped' }] }] });
  });

  it('asks its done_when once no row is touched, and sweeps again from its beginning as long as that is not true', async () => {
    await sql(database.url, 'create table late (n int); create sequence tries');
    const end = await deployBatch(BY_CURSOR, { size: 500, cursor: 0, done_when: `(select min(total) from shop.orders) = 2` });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 2000 }] }] });
    expect(await ledger()).toEqual({ touched: 2000, rounds: 4, most: 2 });
  });
});

describe('a round that fails', () => {
  const FAILS = 'alter table shop.orders add constraint small check (id < 2000 or total is null)';

  it('takes back nothing but itself, and the account says how many are in the database', async () => {
    await sql(database.url, FAILS);
    const end = await deployBatch(BY_FILTER, { size: 300 });
    expect(end).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: '23514',
        path: 'fill.sql',
        line: 1,
        statement: expect.stringContaining('limit :size'),
        detail: expect.stringMatching(/Failing row.* 2 rounds of it, with 600 rows, are in the database\.$/s),
      },
      phases: [
        {
          steps: [
            {
              state: 'failed',
              batch: { rounds: 2, rows: 600 },
              account:
                'fill.sql: 2 rounds of it, with 600 rows, are in the database. Deploy it again, as it is or corrected, and it goes on with what is left.',
            },
          ],
        },
      ],
    });
    expect(await ledger()).toEqual({ touched: 600, rounds: 2, most: 1 });
    const said = renderSummary(end, UNCOLOURED);
    expect(said).toContain('2 rounds of it, with 600 rows, are in the database');
    expect(said).toContain('a part of fill.sql');
  });

  it('and the next deployment goes on behind the last one that was committed: each row once', async () => {
    await sql(database.url, FAILS);
    expect((await deployBatch(BY_CURSOR, { size: 300, cursor: 0 })).state).toBe('failed');
    await sql(database.url, 'alter table shop.orders drop constraint small');
    const end = await deployBatch(`-- corrected elsewhere\n${BY_CURSOR}`, { size: 300, cursor: 0 });
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 400, batch: { rounds: 2 } }] }] });
    expect(await ledger()).toEqual({ touched: 1000, rounds: 4, most: 1 });
    expect(await sql(database.url, `select data - 'by' as data from weft.events where kind = 'continued'`)).toEqual([
      { data: { rounds_done_before: 2, rows_done_before: 600 } },
    ]);
  });

  it('is not followed by another statement in its place, unless weft.yaml says from where', async () => {
    await sql(database.url, FAILS);
    await deployBatch(BY_CURSOR, { size: 300, cursor: 0 });
    await sql(database.url, 'alter table shop.orders drop constraint small');
    const other = BY_CURSOR.replace('+ 1', '+ 2');
    expect(await deployBatch(other, { size: 300, cursor: 0 })).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF021',
        path: 'fill.sql',
        message: expect.stringContaining('2 rounds of this batch are in the database already'),
        hint: expect.stringContaining('on_change: continue goes on behind the cursor 1800; on_change: restart begins anew from the cursor 0'),
      },
    });
    expect(await deployBatch(other, { size: 300, cursor: '1800' })).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 400 }] }] });
    expect(await sql(database.url, 'select total, count(*)::int from shop.orders group by total order by total')).toEqual([
      { total: 1, count: 600 },
      { total: 2, count: 400 },
    ]);
  });

  it('may fail the step alone (on_error: continue); weft resume goes on with it', async () => {
    await sql(database.url, FAILS);
    const end = await deployBatch(BY_CURSOR, { size: 300, cursor: 0, on_error: 'continue' });
    expect(end).toMatchObject({ state: 'degraded', phases: [{ state: 'succeeded', steps: [{ state: 'failed', error: { sqlstate: '23514' } }] }] });
    await sql(database.url, 'alter table shop.orders drop constraint small');
    const again = await resume({ connect: connectOver(database.url), id: end.id, target: null, deadlineMs: 50_000 });
    expect(again).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 1000, batch: { rounds: 4 } }] }] });
    expect(await ledger()).toEqual({ touched: 1000, rounds: 4, most: 1 });
  });

  it('in a deferred constraint fails as at the end of a file', async () => {
    await sql(
      database.url,
      `create function shop.refuse() returns trigger language plpgsql as $$ begin if new.id > 1500 then raise exception 'not this one'; end if; return null; end $$;
       create constraint trigger late after update on shop.orders deferrable initially deferred for each row execute function shop.refuse()`,
    );
    expect(await deployBatch(BY_FILTER, { size: 250 })).toMatchObject({
      state: 'failed',
      error: { message: 'not this one' },
      phases: [{ steps: [{ batch: { rounds: 2 } }] }],
    });
    expect(await ledger()).toMatchObject({ touched: 500 });
  });
});

describe('what cannot be a batch is refused before any of it runs', () => {
  it.each([
    ['several statements', 'select 1;\n\nselect 2 limit :size;', {}, 'WF051', /2 \(lines 1, 3\)/],
    ['no statement', '-- nothing\n', {}, 'WF051', /this one has none/],
    ['a statement that does not limit itself', 'update shop.orders set total = 1 where total is null', {}, 'WF051', /:size/],
    ['the size in a string, or as a cast', `update shop.orders set total = 1 where ':size' = 'x'::size -- :size`, {}, 'WF051', /:size/],
    ['a cursor without a beginning', BY_CURSOR, {}, 'WF051', /where the batch begins/],
    ['a beginning without a cursor', BY_FILTER, { cursor: 0 }, 'WF051', /does not say :'cursor'/],
    ['a DO block', 'do $$ begin update shop.orders set total = 1; end $$; -- :size', {}, 'WF051', /:size/],
    ['what tells of no rows', 'call shop.nothing(:size)', {}, 'WF051', /how many rows/],
    ['what runs in no transaction', 'vacuum (parallel :size) shop.orders', {}, 'WF051', /how many rows/],
    ['no SQL', 'updaet shop.orders limit :size', {}, '42601', /syntax error/],
    ['a cursor that does not come back', BY_CURSOR.replace(/returning.*/, ''), { cursor: 0 }, '42P11', /./],
    ['a cursor that comes back by another name', BY_CURSOR.replace('as cursor', 'as place'), { cursor: 0 }, 'WF052', /"cursor"/],
    [
      'a cursor that stays where it is',
      `update shop.orders set total = 1 where id in (select id from shop.orders where id >= :cursor order by id limit 1 + 0 * :size) returning 3 as cursor`,
      { cursor: 0 },
      'WF052',
      /stayed where it was/,
    ],
    ['texts whose order is not known', BY_CURSOR.replace('id as cursor', 'id::text as cursor'), { cursor: 0 }, 'WF052', /collation/],
  ] as const)('%s', async (_, statement, words, sqlstate, message) => {
    const end = await deployBatch(statement, words);
    expect(end).toMatchObject({ state: 'failed', error: { sqlstate, path: 'fill.sql', line: expect.any(Number), message: expect.stringMatching(message) } });
    if (sqlstate !== 'WF052') expect(await ledger()).toEqual({ touched: 0, rounds: 0, most: 0 });
  });

  it.each([
    ['of several statements the second', 'select 1;\n-- so\n\nselect 2 limit :size;', {}, { line: 4, statement: 'select 2 limit :size' }],
    ['of a statement without :size its beginning', '-- so\n\nupdate shop.orders set total = 1', {}, { line: 3, excerpt: 'update shop.orders set total = 1' }],
    [
      'of a cursor without a beginning where it stands',
      `-- 'cursor'\n${BY_CURSOR.replaceAll('\n', ' ').replace('where', 'where\n')}`,
      {},
      { line: 3, statement_line: 2, excerpt: expect.stringContaining(":'cursor'"), caret: expect.any(Number) },
    ],
    [
      'of a cursor behind what only looks like one',
      `update shop.orders set total = 1\nwhere ':''' <> :'cursor''' and 0 = 0::"cursor"\nand id > :cursor limit :size`,
      {},
      { line: 3, excerpt: 'and id > :cursor limit :size', caret: 10 },
    ],
    [
      'of a cursor that does not come back what is returned',
      `-- so\n${BY_CURSOR.replace('returning', '\n  returning').replace('as cursor', 'as place')}`,
      { cursor: 0 },
      { line: 5, character: 3, excerpt: expect.stringMatching(/^ {2}returning id as place/), caret: 3, column: 'cursor' },
    ],
  ] as const)('with its place: %s', async (_, statement, words, place) => {
    expect((await deployBatch(statement, words)).error).toMatchObject(place);
  });

  it('in an all-or-nothing phase: by the line of weft.yaml, and by the engine', async () => {
    await expect(deployBatch(BY_FILTER, {}, { transaction: 'single' })).rejects.toMatchObject({
      slug: 'invalid_bundle',
      message: expect.stringMatching(/line 1: a batch commits each of its rounds/),
    });
    await deployBatch(BY_FILTER, { when: 'false' });
    const manifest = { bundle: 'b', artifacts: [], phases: [{ name: 'p', transaction: 'single', steps: [{ kind: 'batch', path: 'x.sql' }] }] };
    const request = JSON.stringify({ type: 'deploy', id: 'one', manifest });
    await expect(sql(database.url, 'select weft.open($1)', [Buffer.from(request)])).rejects.toMatchObject({ code: 'WF050' });
  });
});

describe('a batch that would never end', () => {
  const ALL_AGAIN = 'update shop.orders set total = 1 where id in (select id from shop.orders order by id limit :size)';

  it('is stopped once it has touched more rows than its table has, a few times over', async () => {
    await sql(database.url, 'analyze shop.orders');
    const end = await deployBatch(ALL_AGAIN, { size: 400 });
    expect(end).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF053',
        message: expect.stringMatching(/have touched \d+ rows by now, and shop.orders had only about \d+ of them/),
        hint: expect.stringContaining('max_rounds'),
      },
    });
    expect((await ledger()).touched, 'five times, less the round that was one too many').toBe(4800);
  });

  it('is stopped after max_rounds, and so many are allowed for', async () => {
    expect(await deployBatch(ALL_AGAIN, { size: 10, max_rounds: 3 })).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF053', message: '3 rounds have touched rows, and the next one would again.' },
      phases: [{ steps: [{ batch: { rounds: 3 } }] }],
    });
    expect((await ledger()).rounds).toBe(3);
  });

  it('is stopped where no row is touched any more and its done_when does not come true', async () => {
    const { setLimits } = await import('../support/limits.ts');
    await deployBatch(BY_FILTER, { when: 'false' });
    await setLimits(database.url, { batch_sweeps_count: 3, lock_wait_between_ms_max: 1 });
    expect(await deployBatch(BY_FILTER, { done_when: 'false' })).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF054', message: expect.stringContaining('done_when is not true: false') },
    });
  });
});

it('is undone as any step is, also where it has not come to its end; then it begins at its beginning', async () => {
  await sql(database.url, 'alter table shop.orders add constraint small check (id < 2000 or total is null)');
  const files = {
    'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'totals', steps: [{ batch: 'fill.sql', size: 300, cursor: 0, undo: 'unfill.sql' }] }] }),
    'fill.sql': BY_CURSOR,
    'unfill.sql': 'alter table shop.orders disable trigger note; update shop.orders set total = null; alter table shop.orders enable trigger note;',
  };
  expect(await deployFiles(connectOver(database.url), files)).toMatchObject({ state: 'failed', phases: [{ steps: [{ batch: { rounds: 2 } }] }] });
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, 'select count(total)::int as count from shop.orders')).toEqual([{ count: 0 }]);
  await sql(database.url, 'alter table shop.orders drop constraint small; truncate shop.ledger');
  expect(await deployFiles(connectOver(database.url), files)).toMatchObject({
    state: 'succeeded',
    phases: [{ steps: [{ rows: 1000, batch: { rounds: 4 } }] }],
  });
  expect(await ledger()).toEqual({ touched: 1000, rounds: 4, most: 1 });
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, 'select count(total)::int as count from shop.orders')).toEqual([{ count: 0 }]);
});

it('a rehearsal runs one round of it, says so, and leaves nothing', async () => {
  const { order, chunks } = await makeOrder({
    'weft.yaml': JSON.stringify({ name: 'shop', phases: [{ name: 'totals', steps: [{ batch: 'fill.sql', size: 300, cursor: 0 }] }] }),
    'fill.sql': BY_CURSOR,
  });
  const request = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(order.request).toString()), mode: 'rehearse' }));
  const end = await deploy({ connect: connectOver(database.url), order: { ...order, request }, chunks, deadlineMs: 50_000 }).done;
  expect(end).toMatchObject({
    state: 'succeeded',
    rehearsal: { steps: [{ path: 'fill.sql', kind: 'batch', state: 'succeeded', rows: 300, statements: [{ rows: 300, instead: { why: 'round' } }] }] },
  });
  expect(await ledger()).toEqual({ touched: 0, rounds: 0, most: 0 });
  expect(await sql(database.url, 'select from weft.batches')).toEqual([]);
  expect(await deployBatch(BY_CURSOR, { size: 300, cursor: 0 })).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 1000 }] }] });
});

it('the size goes after the target, halves where it hinders, and comes back to what was said', async () => {
  await deployBatch(BY_FILTER, { when: 'false' });
  const next = async (size: number, rows: number, ms: number, wanted: number, target: number | null, hinders: boolean) =>
    (await sql(database.url, 'select weft._next_size($1, $2, $3, $4, $5, $6) as size', [size, rows, ms, wanted, target, hinders]))[0].size;
  expect(await next(1000, 1000, 250, 1000, 500, false), 'too quick: half as much again at most').toBe(1500);
  expect(await next(1000, 1000, 400, 1000, 500, false), 'a little too quick').toBe(1250);
  expect(await next(1000, 1000, 1000, 1000, 500, false), 'too slow').toBe(500);
  expect(await next(1000, 1000, 60_000, 1000, 500, false), 'much too slow').toBe(500);
  expect(await next(1000, 10, 5, 1000, 500, false), 'few rows tell nothing').toBe(1000);
  expect(await next(1, 1, 60_000, 1000, 500, false), 'never none').toBe(1);
  expect(await next(1_000_000, 1_000_000, 1, 1000, 500, false), 'batch_size_max').toBe(1_000_000);
  expect(await next(1000, 1000, 250, 1000, 500, true), 'others wait').toBe(500);
  expect(await next(1000, 1000, 250, 1000, null, true)).toBe(500);
  expect(await next(300, 300, 250, 1000, null, false), 'back').toBe(600);
  expect(await next(600, 600, 250, 1000, null, false)).toBe(1000);
});
