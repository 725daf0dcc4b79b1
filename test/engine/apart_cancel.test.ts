/** Somebody asks for the end while a statement is out: it comes, and nothing half-made is left. Where there is no way back, it goes to its end. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Connect, Message } from '../../src/database/session.ts';
import { cancel } from '../../src/deployment/cancel.ts';
import { resume } from '../../src/deployment/resume.ts';
import { type Relay, startRelay } from '../../src/dev/relay.ts';
import { freshDatabase, type TestDatabase, testServer } from '../support/database.ts';
import { setLimits } from '../support/limits.ts';
import { connectOver, deployFiles, stageFiles, until } from '../support/orders.ts';
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

describe('a single request, with nobody who asks again', () => {
  const files = { '1.sql': 'insert into journal values (1);', '2.sql': 'create index concurrently t_a on t (a);', '3.sql': 'insert into journal values (3);' };
  const request = (id: string) => sql(url, `select weft.cancel('${id}', 'somebody')`);
  const CANCELLED = { state: 'cancelled', error: { sqlstate: '57014', message: 'Cancelled by somebody.' } };

  async function expectNeverRun(): Promise<void> {
    expect(await sql(url, `select to_regclass('t_a') as made`)).toEqual([{ made: null }]);
    expect(await sql(url, `select from pg_stat_activity where datname = current_database() and query ~* '^create index'`)).toEqual([]);
    expect(await sql(url, 'select n from journal')).toEqual([{ n: 1 }]);
    await expectNothingHalfMade(url);
  }

  it.each([
    ['has just been handed it, and rests', async () => undefined],
    [
      'has rested for so long that it counts as abandoned',
      async () => {
        await setLimits(url, { directive_silence_seconds: 1 });
        await until(url, `(select weft._look_at_holder(l) from weft._lease as l) = 'silent'`);
      },
    ],
    ['has done something else meanwhile, by hand', async (runner: pg.Client) => runner.query('select 1')],
  ])('reaches a statement that is on its way to a session that %s: it never runs', async (_what, before) => {
    const id = await stageFiles(url, files, { transaction: 'none' });
    const runner = new pg.Client({ connectionString: url });
    runner.on('error', () => undefined);
    await runner.connect();
    const { directive } = (await runner.query(`call weft.run('${id}')`)).rows[0].result;
    expect(directive.statement).toContain('create index concurrently');
    await before(runner);
    await request(id);
    await expect(runner.query(directive.statement)).rejects.toThrow();
    await runner.end().catch(() => undefined);
    expect(await resume({ connect: connectOver(url), id, target: null, deadlineMs: 50_000 })).toMatchObject({ id, ...CANCELLED });
    await expectNeverRun();
  });

  it('reaches the drive in the moment in which it sends the statement: it attaches again, and ends the deployment by itself', async () => {
    const id = await stageFiles(url, files, { transaction: 'none' });
    let requested = 0;
    const connect: Connect = async () => {
      const session = await connectOver(url)();
      const pipeline: typeof session.pipeline = async (messages, onReply) => {
        const all: Message[] = [];
        for await (const message of messages) all.push(message);
        const [first] = all;
        if (first?.kind === 'statement' && /^create index concurrently/.test(first.text)) {
          requested += 1;
          await request(id);
        }
        return session.pipeline(all, onReply);
      };
      return new Proxy(session, {
        get: (of, name) => {
          if (name === 'pipeline') return pipeline;
          const value = Reflect.get(of, name, of);
          return typeof value === 'function' ? value.bind(of) : value;
        },
      });
    };
    expect(await resume({ connect, id, target: null, deadlineMs: 50_000 })).toMatchObject({ id, ...CANCELLED });
    expect(requested).toBe(1);
    await expectNeverRun();
  });

  it('reaches the statement at work, and its client ends the deployment by itself', async () => {
    const holder = await hold(url, 'snapshot');
    const id = await stageFiles(url, files, { transaction: 'none' });
    const ended = resume({ connect: connectOver(url), id, target: null, deadlineMs: 50_000 });
    ended.catch(() => undefined);
    await until(url, AT_WORK, 'it is at work');
    await request(id);
    await until(url, `exists (select from weft.events where kind = 'remains_being_dropped')`, 'it was ended');
    await holder.end();
    expect(await ended).toMatchObject({ id, ...CANCELLED });
    await expectNeverRun();
  });
});
