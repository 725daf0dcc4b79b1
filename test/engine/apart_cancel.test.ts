/** Somebody asks for the end while a statement is out: it comes, and nothing half-made is left. Where there is no way back, it goes to its end. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancel } from '../../src/deployment/cancel.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { freshDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { connectOver, deployFiles, until } from '../support/orders.ts';
import { sql } from '../support/sql.ts';
import { expectNothingHalfMade, hold, over } from './cells.ts';

let relay: Relay;
let database: TestDatabase;
let url: string;

beforeAll(async () => {
  const { hostname, port } = new URL((await testServer()).url);
  relay = await startRelay({ to: { host: hostname, port: Number(port) } });
});

afterAll(() => relay.stop());

beforeEach(async () => {
  database = await freshDatabase();
  url = database.url;
  await sql(
    url,
    `create table journal (n int); create table t (a int, b text); create index t_b on t (b);
     create table p (a int) partition by range (a); create table p_1 partition of p for values from (0) to (9)`,
  );
});

afterEach(() => database.drop());

const AT_WORK = `exists (select from weft._lease as l join pg_stat_activity as a using (pid) where l.directive_at is not null and a.wait_event_type = 'Lock')`;

/** What is cancelled, what keeps it at work, and whether it is done all the same. */
const STATEMENTS = {
  'create index concurrently': { statement: 'create index concurrently t_a on t (a)', held: 'snapshot', isDone: false, done: `to_regclass('t_a') is not null` },
  'create unique index concurrently, waiting for a writer': {
    statement: 'create unique index concurrently t_a on t (a)',
    held: 'insert into t values (1)',
    isDone: false,
    done: `to_regclass('t_a') is not null`,
  },
  'reindex table concurrently': { statement: 'reindex index concurrently t_b', held: 'snapshot', isDone: false, done: `to_regclass('t_b') is null` },
  'drop index concurrently': { statement: 'drop index concurrently t_b', held: 'select * from t', isDone: true, done: `to_regclass('t_b') is null` },
  'alter table detach partition concurrently': {
    statement: 'alter table p detach partition p_1 concurrently',
    held: 'select * from p',
    isDone: true,
    done: `not exists (select from pg_inherits where inhparent = 'p'::regclass)`,
  },
};

describe.each(Object.entries(STATEMENTS))('%s', (_, { statement, held, isDone, done }) => {
  const files = { '1.sql': `insert into journal values (1);\n${statement};\ninsert into journal values (2);`, '2.sql': 'insert into journal values (3);' };

  it.each([
    ['while its client is there', false],
    ['when its client is gone, and the backend goes on', true],
  ])('%s', async (_when, isLost) => {
    const holder = await hold(url, held);
    const stop = new AbortController();
    const deployed = deployFiles(connectOver(over(relay, url)), files, { transaction: 'none', signal: stop.signal });
    const ended = deployed.catch(() => undefined);
    await until(url, AT_WORK, 'it is at work');
    const [{ id }] = await sql(url, 'select id from weft.deployments');
    if (isLost) {
      stop.abort();
      relay.cutAll();
      await ended;
    }
    const cancelled = cancel({ connect: connectOver(url), id, caller: 'somebody', target: null });
    await until(url, `not ${AT_WORK} or exists (select from weft.events where kind = 'remains_being_dropped')`, 'it was ended');
    await holder.end();
    expect(await cancelled).toMatchObject({ id, state: 'cancelled', error: { message: 'Cancelled by somebody.' } });
    if (!isLost) expect(await ended).toMatchObject({ id, state: 'cancelled' });
    await expectNothingHalfMade(url);
    expect(await sql(url, `select ${done} as done`)).toEqual([{ done: isDone }]);
    expect(await sql(url, 'select n from journal')).toEqual([{ n: 1 }]);

    expect(await deployFiles(connectOver(url), files, { transaction: 'none' })).toMatchObject({ state: 'succeeded', error: null });
    expect(await sql(url, 'select n from journal order by n')).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    await expectNothingHalfMade(url);
    if (!/reindex/.test(statement)) expect(await sql(url, `select ${done} as done`)).toEqual([{ done: true }]);
  });
});
