/**
 * A batch with which another deployment has gone on: its cursor stands in one place only, so that nobody goes on from where it was before.
 * Each row counts how often it was touched.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { UNCOLOURED } from '../../src/words/style.ts';
import { renderSummary } from '../../src/words/summary.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { undo } from './undoing.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create table orders (id int primary key, region text not null, total int not null default 0);
     insert into orders (id, region) select i, case when i % 2 = 0 then 'eu' else 'us' end from generate_series(1, 100) as i;
     create table bad (id int); insert into bad values (35)`,
  );
});

afterEach(() => database.drop());

const STATEMENT = `update orders set total = total + case when id in (select id from bad) then 1 / (id - id) else 1 end
where id in (select id from orders where id > :'cursor' order by id limit :size) returning id as cursor;`;

/** Deploys the batch; a row that stands in `bad` fails its round. */
function deployBatch(words: Readonly<Record<string, unknown>> = {}, statement = STATEMENT, more: object = {}, asked: object = {}): Promise<Deployment> {
  return deployFiles(
    connectOver(database.url),
    {
      'weft.yaml': JSON.stringify({
        name: 'shop',
        ...more,
        phases: [{ name: 'fill', on_error: 'continue', steps: [{ batch: 'fill.sql', size: 10, cursor: 0, undo: 'unfill.sql', ...words }] }],
      }),
      'fill.sql': statement,
      'unfill.sql': 'update orders set total = 0;',
    },
    asked,
  );
}

const resumeIt = (id: string) => resume({ connect: connectOver(database.url), id, target: null, deadlineMs: 50_000 });
const totals = () => sql(database.url, 'select total, count(*)::int from orders group by total order by total');
const fails = (id: number) => sql(database.url, `update bad set id = ${id}`);
const ONCE = [{ total: 1, count: 100 }];

it('a deployment that is opened again goes on where the one that passed it has come to: each row once', async () => {
  const one = await deployBatch();
  expect(one).toMatchObject({ state: 'degraded', phases: [{ steps: [{ batch: { rounds: 3, rows: 30 } }] }] });
  await fails(65);
  const two = await deployBatch();
  expect(two).toMatchObject({
    state: 'degraded',
    phases: [
      {
        steps: [{ batch: { rounds: 3, rows: 30 }, account: expect.stringContaining('6 rounds of it, with 60 rows, are in the database. Deploy it as it is') }],
      },
    ],
  });
  await sql(database.url, 'delete from bad');
  expect(await resumeIt(one.id)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 40, result: { rounds: 4 } }] }] });
  expect(await totals()).toEqual(ONCE);
  expect((await resumeIt(two.id)).phases[0]?.steps[0], 'which is in the history by now').toMatchObject({ state: 'skipped' });
  expect(await totals()).toEqual(ONCE);
});

it('also where the other one began behind it by the word of weft.yaml, and where it fails in between', async () => {
  const one = await deployBatch();
  await fails(65);
  expect(await deployBatch({ cursor: '30' })).toMatchObject({ state: 'degraded', phases: [{ steps: [{ batch: { rounds: 3 } }] }] });
  expect(await resumeIt(one.id)).toMatchObject({ state: 'degraded' });
  expect(await totals()).toEqual([
    { total: 0, count: 40 },
    { total: 1, count: 60 },
  ]);
  await sql(database.url, 'delete from bad');
  expect(await resumeIt(one.id)).toMatchObject({ state: 'succeeded' });
  expect(await totals()).toEqual(ONCE);
});

it('the one that was passed still tells what it has done, and who went on', async () => {
  const one = await deployBatch();
  await sql(database.url, 'delete from bad');
  const two = await deployBatch();
  expect(two.state).toBe('succeeded');
  const [{ status }] = await sql(database.url, 'select weft.status($1) as status', [one.id]);
  expect(status.phases[0].steps[0]).toMatchObject({
    state: 'failed',
    batch: { rounds: 3, rows: 30, size: 10, table: 'public.orders', last_round: { rows: 10 } },
    account: `fill.sql: 3 rounds of it, with 30 rows, are in the database. Deployment ${two.id} has gone on behind them.`,
  });
  expect(renderSummary(status, UNCOLOURED)).toContain(`Deployment ${two.id} has gone on behind them.`);
  expect(await sql(database.url, 'select deployment_id, state::text, rounds, rows::int, cursor from weft.batches order by rounds desc')).toEqual([
    { deployment_id: two.id, state: 'succeeded', rounds: 7, rows: 70, cursor: '100' },
    { deployment_id: one.id, state: 'failed', rounds: 3, rows: 30, cursor: null },
  ]);
});

it('what a later deployment has brought to its end, and was undone, begins at its beginning: no row is left out', async () => {
  await deployBatch();
  await sql(database.url, 'delete from bad');
  expect(await deployBatch()).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 70 }] }] });
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
  expect(await totals()).toEqual([{ total: 0, count: 100 }]);
  expect(await deployBatch()).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 100 }] }] });
  expect(await totals()).toEqual(ONCE);
});

it('one that went on and did nothing more is undone with what it took over', async () => {
  const statement = STATEMENT.replace('where id >', 'where total = 0 and id >');
  await deployBatch({}, statement);
  await sql(database.url, `delete from bad; create function odd() returns boolean language sql as 'select false'`);
  await setLimits(database.url, { batch_sweeps_count: 2, lock_wait_between_ms_max: 1 });
  await sql(database.url, 'delete from orders where id > 30');
  expect(await deployBatch({ done_when: 'odd()' }, statement)).toMatchObject({ state: 'degraded' });
  expect(await undo(database.url)).toMatchObject({ state: 'succeeded' });
  await expect(undo(database.url), 'all of it').rejects.toThrow(/Nothing that was deployed here/);
  expect(await totals()).toEqual([{ total: 0, count: 30 }]);
});

it('with other values of the parameters that it names it is not the same: it is refused, by their names', async () => {
  const parameters = { region: { type: 'text' }, note: { type: 'text' }, amount: { type: 'integer', default: 1 } };
  const statement = STATEMENT.replace(':size', `(:size)`)
    .replace('where id >', `where region = :'region' and id >`)
    .replace('else 1 end', `else weft.parameter('amount')::int end`);
  const deployWith = (values: object) => deployBatch({}, statement, { parameters }, { parameters: values });
  expect(await deployWith({ region: 'us' })).toMatchObject({ state: 'degraded', phases: [{ steps: [{ batch: { rounds: 1 } }] }] });
  for (const [values, names] of [
    [{ region: 'eu' }, 'region'],
    [{ region: 'eu', amount: '2' }, 'amount, region'],
    [{ region: 'us', amount: '2' }, 'amount'],
  ] as const)
    expect((await deployWith(values)).phases[0]?.steps[0]).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF021',
        path: 'fill.sql',
        message: `1 round of this batch is in the database already, and parameters that it names had other values then: ${names}.`,
      },
    });
  await sql(database.url, 'delete from bad');
  expect(await deployWith({ region: 'us', note: 'which it does not name' })).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 40 }] }] });
  expect(await sql(database.url, 'select region, total, count(*)::int from orders group by 1, 2 order by 1')).toEqual([
    { region: 'eu', total: 0, count: 50 },
    { region: 'us', total: 1, count: 50 },
  ]);
});

it('of a secret it keeps that it is named, and nothing of its value', async () => {
  const parameters = { token: { type: 'text', secret: true } };
  const statement = STATEMENT.replace('where id >', `where :'token' <> '' and id >`);
  const deployWith = (token: string) => deployBatch({}, statement, { parameters }, { secrets: { token } });
  expect((await deployWith('a-first-secret')).state).toBe('degraded');
  expect(await sql(database.url, 'select parameters from weft._batches')).toEqual([{ parameters: { token: 'secret' } }]);
  await sql(database.url, 'delete from bad');
  expect((await deployWith('another-secret')).state).toBe('succeeded');
  expect(await totals()).toEqual(ONCE);
});

it('begins once, also where its first round touches nothing and its done_when is not true', async () => {
  await sql(database.url, 'delete from orders; create sequence asked; create table done (n int)');
  await deployBatch({ when: 'false' });
  await setLimits(database.url, { batch_sweeps_count: 4, lock_wait_between_ms_max: 1 });
  await deployBatch({ when: `nextval('asked') > 0`, done_when: 'false' });
  expect(
    await sql(database.url, `select last_value::int as asked, (select count(*)::int from weft.events where kind = 'batch_started') as begun from asked`),
  ).toEqual([{ asked: 1, begun: 1 }]);
});

describe('a batch whose statement was corrected half-way', () => {
  const OTHER = STATEMENT.replace('else 1 end', 'else 2 end').replace('1 / (id - id)', '2');

  it.each([
    [
      'continue',
      [
        { total: 1, count: 30 },
        { total: 2, count: 70 },
      ],
      70,
    ],
    [
      'restart',
      [
        { total: 2, count: 70 },
        { total: 3, count: 30 },
      ],
      100,
    ],
  ] as const)('goes on as weft.yaml says, with on_change: %s', async (on_change, then, rows) => {
    await deployBatch();
    expect(await deployBatch({ on_change }, OTHER)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows }] }] });
    expect(await totals()).toEqual(then);
    expect(await sql(database.url, `select data - 'by' as data from weft.events where kind = 'continued'`)).toEqual([
      { data: { rounds_done_before: 3, rows_done_before: 30, on_change } },
    ]);
  });

  it('goes on behind its own rounds when it fails again, whatever on_change says: it is the same then', async () => {
    await deployBatch();
    await fails(55);
    const other = STATEMENT.replace('else 1 end', 'else 2 end');
    expect(await deployBatch({ on_change: 'restart' }, other)).toMatchObject({ state: 'degraded', phases: [{ steps: [{ batch: { rounds: 5, rows: 50 } }] }] });
    await sql(database.url, 'delete from bad');
    expect(await deployBatch({ on_change: 'restart' }, other)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 50 }] }] });
    expect(await totals()).toEqual([
      { total: 2, count: 70 },
      { total: 3, count: 30 },
    ]);
  });
});

it('compares cursors as their type is ordered, and with no operator that somebody has laid into the path', async () => {
  await sql(
    database.url,
    `create type size as enum ('s', 'm', 'l');
     create table loot (who name);
     create function gte(size, size) returns boolean language plpgsql as $$ begin insert into public.loot values (current_user); return false; end $$;
     create operator > (leftarg = size, rightarg = size, function = gte);
     create table t (c size primary key, n int not null default 0);
     insert into t values ('s'), ('m'), ('l')`,
  );
  const statement = `update public.t set n = n operator(pg_catalog.+) 1
    where c in (select c from public.t where c operator(pg_catalog.>) :'cursor'::size order by c limit :size) returning c as cursor`;
  expect(await deployBatch({ size: 2, cursor: 's' }, statement)).toMatchObject({ state: 'succeeded' });
  expect(await sql(database.url, 'select c::text, n from t order by t.c')).toEqual([
    { c: 's', n: 0 },
    { c: 'm', n: 1 },
    { c: 'l', n: 1 },
  ]);
  expect(await sql(database.url, 'select * from loot')).toEqual([]);
});
