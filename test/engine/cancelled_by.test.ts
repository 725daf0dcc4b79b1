/** The end of a deployment that was asked for: what vanishes, what stays, and who asked when, wherever the record is read. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freshDatabase, type TestDatabase } from '../support/database.ts';
import { connectOver, deployFiles, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { expectNothingHalfMade, hold } from './cells.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table kept (n int); create table t (a int); insert into t select generate_series(1, 1000)');
});
afterEach(() => database.drop());

const phases = (phase: object) => JSON.stringify({ name: 'shop', phases: [{ name: 'main', ...phase }] });
const AT_WORK = (wait: string) => `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where a.wait_event = '${wait}')`;

/** Nothing of them comes to its end by itself: only who is woken out of it ends. */
const KINDS = {
  'an all-or-nothing phase vanishes': {
    files: {
      'weft.yaml': phases({ transaction: 'single', steps: [{ run: '*.sql' }] }),
      '1.sql': 'create table lost (n int); insert into kept values (1);',
      '2.sql': 'select pg_sleep(3600);',
    },
    isAtWork: AT_WORK('PgSleep'),
    left: { kept: 0, lost: null, rounds: 0 },
  },
  'a batch stops at a round': {
    files: {
      'weft.yaml': phases({ steps: [{ batch: 'fill.sql', size: 100, cursor: 0 }] }),
      'fill.sql': `with picked as (select a from t where a > :'cursor'::int order by a limit :size), slow as (select case when max(a) > 300 then pg_sleep(3600)::text else 'go' end as way from picked),
        written as (insert into kept select a from picked, slow where way = 'go') select a as cursor from picked`,
    },
    isAtWork: AT_WORK('PgSleep'),
    left: { kept: 300, lost: null, rounds: 3 },
  },
  'a concurrent build is dropped clean': {
    files: {
      'weft.yaml': phases({ transaction: 'none', steps: [{ run: '*.sql' }] }),
      '1.sql': 'insert into kept values (1); create index concurrently lost on t (a); insert into kept values (2);',
    },
    isAtWork: `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where l.directive_at is not null and a.wait_event_type = 'Lock')`,
    left: { kept: 1, lost: null, rounds: 0 },
  },
};

describe.each(Object.entries(KINDS))('%s', (name, { files, isAtWork, left }) => {
  it('and status, events, list and receipt say who asked, and when', async () => {
    const holder = name.includes('build') ? await hold(database.url, 'snapshot') : null;
    const running = deployFiles(connectOver(database.url), files);
    await until(database.url, isAtWork, 'it is at work');
    const [{ id, before }] = await sql(database.url, 'select id, clock_timestamp() as before from weft.deployments');
    const [{ status: asked }] = await sql(database.url, `select weft.cancel('${id}', 'night shift') as status`);
    expect(asked).toMatchObject({ cancellation: { caller: 'night shift', requested_at: expect.any(String) } });
    await sql(database.url, `select weft.cancel('${id}', 'somebody later')`);
    if (holder !== null) {
      await until(database.url, `not ${isAtWork} or exists (select from weft.events where kind = 'remains_being_dropped')`, 'it was ended');
      await holder.end();
    }
    const end = await running;
    const words = { message: 'Cancelled by night shift.', cancelled_by: 'night shift', requested_at: asked.cancellation.requested_at };
    expect(end).toMatchObject({ state: 'cancelled', error: words, cancellation: asked.cancellation });
    expect(Date.parse(end.error?.requested_at as string)).toBeGreaterThanOrEqual(Date.parse(before) - 1);
    expect((await sql(database.url, `select kind, data from weft.events order by number desc limit 1`))[0]).toMatchObject({ kind: 'cancelled', data: words });
    expect(await sql(database.url, 'select error from weft.deployments')).toEqual([{ error: words.message }]);
    expect(JSON.parse((await sql(database.url, `select weft.receipt('${id}') as text`))[0].text)).toMatchObject({ error: words });
    expect(
      await sql(
        database.url,
        `select (select count(*)::int from kept) as kept, to_regclass('lost')::text as lost, coalesce((select sum(rounds)::int from weft.batches), 0) as rounds`,
      ),
    ).toEqual([left]);
    await expectNothingHalfMade(database.url);
  });
});
