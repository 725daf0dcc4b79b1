/** Many at once: the same request is one deployment, however many send it; different ones come one after another. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deploy } from '../../src/deployment/deploy.ts';
import { emptyDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, makeOrder, randomId, stageFiles } from '../support/orders.ts';
import { sqlAnew as sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await emptyDatabase();
});

afterEach(async () => {
  await database.drop();
});

const COUNT = 40;
const FILES = {
  '1.sql': 'create table journal (n int); insert into journal values (1);',
  '2.sql': 'insert into journal values (2); select pg_sleep(0.5);',
  '3.sql': 'insert into journal values (3);',
};

it.each([
  { where: 'a database that has no engine yet', isPrepared: false },
  { where: 'a database that knows Weft', isPrepared: true },
])('40 who send the same request at the same moment to $where get one deployment, and 40 equal answers', async ({ isPrepared }) => {
  if (isPrepared) await stageFiles(database.url, { 'installs.sql': '' }, { bundle: 'other' });
  const id = randomId();
  const answers = await Promise.all(
    Array.from({ length: COUNT }, async () => {
      const { order, chunks } = await makeOrder(FILES, { id });
      const { opened, done } = deploy({ connect: connectOver(database.url), order, chunks, deadlineMs: 50_000 });
      return { repeated: (await opened).repeated, deployment: await done };
    }),
  );
  expect(answers.filter(({ repeated }) => !repeated)).toHaveLength(1);
  const [first] = answers;
  expect(first?.deployment.state).toBe('succeeded');
  for (const { deployment } of answers) expect(deployment).toEqual(first?.deployment);
  expect(await sql(database.url, `select count(*)::int as count from weft.deployments where bundle = 'shop'`)).toEqual([{ count: 1 }]);
  expect(await sql(database.url, 'select n from journal order by n')).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
});

it('twelve who send a request each at the same moment come one after another, and nobody runs beside another', async () => {
  await sql(database.url, 'create table spans (who int, began timestamptz, ended timestamptz)');
  const ends = await Promise.all(
    Array.from({ length: 12 }, async (_, n) => {
      const text = `insert into spans values (${n}, clock_timestamp()); select pg_sleep(0.05); update spans set ended = clock_timestamp() where who = ${n};`;
      const { order, chunks } = await makeOrder({ [`${n}.sql`]: text }, { bundle: `b${n}`, caller: `c${n}` });
      return deploy({ connect: connectOver(database.url), order, chunks, deadlineMs: 50_000 }).done;
    }),
  );
  expect(ends.map(({ state }) => state)).toEqual(Array.from({ length: 12 }, () => 'succeeded'));
  const overlaps = 'select count(*)::int as count from spans as a join spans as b on a.who <> b.who and a.began < b.ended and b.began < a.ended';
  expect(await sql(database.url, overlaps)).toEqual([{ count: 0 }]);
  const order = `select bool_and(started_at >= before) as in_order from (select started_at, lag(finished_at) over (order by place) as before from weft.deployments) as d`;
  expect(await sql(database.url, order)).toEqual([{ in_order: true }]);
});
