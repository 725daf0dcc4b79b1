/**
 * The cursor of a batch has to tell rows apart: what shares one, and does not fit into a round, no later round would come to.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Deployment } from '../../src/domain/deployment.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, type OrderOptions } from '../support/orders.ts';
import { sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(
    database.url,
    `create table days (day int, is_seen boolean); insert into days select i % 4, false from generate_series(1, 40) as i;
     create table lines (line int primary key, order_id int, is_seen boolean);
     create table orders (id int primary key); insert into orders select i from generate_series(1, 40) as i`,
  );
});

afterEach(() => database.drop());

const BY_DAY = `update days set is_seen = true
where ctid in (select ctid from days where day > :cursor order by day limit :size)
returning day as cursor`;
const BY_ORDER = `update lines set is_seen = true
where order_id in (select id from orders where id > :cursor order by id limit :size)
returning order_id as cursor`;

function deployBatch(statement: string, size: number, options: OrderOptions = {}, cursor: number | string = -1): Promise<Deployment> {
  const phases = [{ name: 'p', steps: [{ batch: 'see.sql', size, cursor }] }];
  return deployFiles(connectOver(database.url), { 'weft.yaml': JSON.stringify({ name: 'shop', phases }), 'see.sql': statement }, options);
}
const unseen = async (table: string) => (await sql(database.url, `select count(*)::int as n from ${table} where not is_seen`))[0].n;

describe('a cursor that rows share', () => {
  it('fails the round that ends among them, and says what to do: what is behind the limit would be passed by', async () => {
    expect(await deployBatch(BY_DAY, 7)).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF052',
        line: 3,
        message: expect.stringContaining('several of them have the greatest cursor'),
        hint: expect.stringContaining('select distinct'),
      },
    });
    expect(await unseen('days'), 'the round is undone').toBe(40);
  });

  it('passes where the hint is followed: the limit counts its values', async () => {
    const counted = `with found as (select distinct day from days where day > :cursor order by day limit :size),
done as (update days set is_seen = true from found where days.day = found.day)
select max(day) as cursor, count(*) as rows from found`;
    expect(await deployBatch(counted, 3)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ batch: { rounds: 2 } }] }] });
    expect(await unseen('days')).toBe(0);
  });

  it('passes where a round is not full: then the limit has cut nothing off', async () => {
    expect(await deployBatch(BY_DAY, 41)).toMatchObject({ state: 'succeeded' });
    expect(await unseen('days')).toBe(0);
  });

  it('passes where the limit counts something else than the rows that are touched, although they come to the same number once', async () => {
    // of the first ten orders each has two lines; of the next ten some have one and the last has two: ten in all
    await sql(
      database.url,
      `insert into lines select i, (i + 1) / 2, false from generate_series(1, 20) as i;
       insert into lines select 20 + i, 10 + i, false from generate_series(1, 8) as i;
       insert into lines values (29, 20, false), (30, 20, false)`,
    );
    expect(await deployBatch(BY_ORDER, 10)).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 30, batch: { rounds: 2 } }] }] });
    expect(await unseen('lines')).toBe(0);
  });

  it('is told by a rehearsal too, which runs one round', async () => {
    expect(await deployBatch(BY_DAY, 7, { mode: 'rehearse' })).toMatchObject({ state: 'failed', error: { sqlstate: 'WF052' } });
  });
});

describe('a cursor that is no whole number', () => {
  it('is kept with all its digits, whatever the phase says of them: behind a rounded one rows are touched twice, or passed by', async () => {
    await sql(
      database.url,
      'create table roots (root float8 primary key, times int default 0); insert into roots select sqrt(i) from generate_series(1, 300) as i',
    );
    const statement = `update roots set times = times + 1
where root in (select root from roots where root > :'cursor' order by root limit :size)
returning root as cursor`;
    for (const size of [1, 10]) {
      const phases = [{ name: 'p', settings: { extra_float_digits: '-3' }, steps: [{ batch: 'roots.sql', size, cursor: 0, max_rounds: 400 }] }];
      const bundle = { 'weft.yaml': JSON.stringify({ name: `roots${size}`, phases }), 'roots.sql': statement };
      expect(await deployFiles(connectOver(database.url), bundle)).toMatchObject({ state: 'succeeded' });
    }
    expect(await sql(database.url, 'select times, count(*)::int as n from roots group by times')).toEqual([{ times: 2, n: 300 }]);
  });
});

describe('a cursor of several columns, as a key may be', () => {
  const bySlot = (type: string) => `update slots set seen = seen + 1
where (a, b) in (select a, b from slots where row(a, b)::place > :'cursor'::place order by a, b limit :size)
returning row(a, b)${type} as cursor`;
  const makeSlots = (b: string) =>
    sql(
      database.url,
      `create type place as (a int, b ${b}); create table slots (a int, b ${b}, seen int not null default 0, primary key (a, b));
       insert into slots select i % 4, i from generate_series(1, 40) as i`,
    );
  const seen = async () => (await sql(database.url, 'select min(seen) as least, max(seen) as most from slots'))[0];

  it('is a value of a composite type: every row is touched once, and none is passed by', async () => {
    await makeSlots('numeric');
    const end = await deployBatch(bySlot('::place'), 7, {}, '(-1,-1)');
    expect(end).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 40, batch: { rounds: 6 } }] }] });
    expect(await sql(database.url, 'select cursor from weft.batches')).toEqual([{ cursor: '(3,39)' }]);
    expect(await seen()).toEqual({ least: 1, most: 1 });
  });

  it('needs its type, by which the next round reads it', async () => {
    await makeSlots('int');
    expect(await deployBatch(bySlot(''), 7, {}, '(-1,-1)')).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF052', message: expect.stringContaining('a row without a type'), hint: expect.stringContaining('create type') },
    });
  });

  it('holds no text, the order of which the rows do not bring along; unless the statement itself says which is the last', async () => {
    await makeSlots('text collate "C"');
    expect(await deployBatch(bySlot('::place'), 7, {}, '(-1,)')).toMatchObject({
      state: 'failed',
      error: { sqlstate: 'WF052', message: expect.stringContaining('collation') },
    });
    const one = `with found as (select a, b from slots where row(a, b)::place > :'cursor'::place order by a, b limit :size),
done as (update slots set seen = seen + 1 from found where (slots.a, slots.b) = (found.a, found.b))
select (select row(a, b)::place from found order by a desc, b desc limit 1) as cursor, count(*) as rows from found`;
    expect(await deployBatch(one, 7, { bundle: 'one' }, '(-1,"")')).toMatchObject({ state: 'succeeded', phases: [{ steps: [{ rows: 40 }] }] });
    expect(await seen()).toEqual({ least: 1, most: 1 });
  });
});
