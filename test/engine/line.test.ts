/** Whose turn it is: deployments to one database run one after another, in the order in which they were staged. */
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resume } from '../../src/deployment/resume.ts';
import { dropDatabase, freshDatabase, type TestDatabase, withDatabase } from '../support/database.ts';
import { AT_THE_GATE, connectOver, makeOrder, openOrder, shutGate, stageFiles, stageOrder } from '../support/orders.ts';
import { leave, sql } from '../support/sql.ts';

let database: TestDatabase;

beforeEach(async () => {
  database = await freshDatabase();
  await sql(database.url, 'create table journal (place int generated always as identity, who text)');
});

afterEach(async () => {
  await database.drop();
});

/** One file that writes a name into the journal. */
const entry = (who: string): Record<string, string> => ({ [`${who}.sql`]: `insert into journal (who) values ('${who}');` });

const stage = (who: string, more: Parameters<typeof stageFiles>[2] = {}) => stageFiles(database.url, entry(who), { caller: who, bundle: who, ...more });

// biome-ignore lint/suspicious/noExplicitAny: the document of weft.status
const call = async (what: string, url = database.url): Promise<any> => (await sql(url, `call weft.run(${what})`))[0].result;

const journal = async (url = database.url) => (await sql(url, 'select who from journal order by place')).map(({ who }) => who);

const states = async (url = database.url) =>
  Object.fromEntries((await sql(url, 'select bundle, state from weft.deployments')).map(({ bundle, state }) => [bundle, state]));

describe('deployments in line', () => {
  it('a call for the last one finishes those before it first, in the order in which they were staged, whoever opened them when', async () => {
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((who) => makeOrder(entry(who), { caller: who, bundle: who })));
    if (a === undefined || b === undefined || c === undefined) throw new Error('three were made');
    const session = await connectOver(database.url)();
    const opened = [await openOrder(session, a), await openOrder(session, b), await openOrder(session, c)];
    await stageOrder(session, b, opened[1]);
    await stageOrder(session, a, opened[0]);
    await stageOrder(session, c, opened[2]);
    await session.close();
    const result = await call(`'${opened[2]?.id}'`);
    expect(result).toMatchObject({ id: opened[2]?.id, state: 'succeeded', bundle: 'c' });
    expect(await journal()).toEqual(['b', 'a', 'c']);
    expect(await states()).toEqual({ a: 'succeeded', b: 'succeeded', c: 'succeeded' });
  });

  it('a call for one in the middle leaves those behind it alone', async () => {
    await stage('a');
    const b = await stage('b');
    await stage('c');
    await call(`'${b}'`);
    expect(await journal()).toEqual(['a', 'b']);
    expect(await states()).toEqual({ a: 'succeeded', b: 'succeeded', c: 'staged' });
  });

  it('what stands ahead is run under its own caller’s grant: who may not deploy any more waits, and lets others pass', async () => {
    const a = await stage('a');
    await stage('b');
    const c = await stage('c');
    expect(await call(`'${c}', p_callers => '{b}'`)).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual(['b', 'c']);
    expect(await states()).toEqual({ a: 'staged', b: 'succeeded', c: 'succeeded' });
    await call(`'${a}', p_callers => '{}'`); // whose own call it is was asked before
    expect(await journal()).toEqual(['b', 'c', 'a']);
  });

  it.each(['auto', 'none'] as const)(
    'one of the same bundle that passes one that has begun goes on in the middle of its file (%s); the passed one leaves out what was applied since',
    async (transaction) => {
      await sql(database.url, 'create table items (id int)');
      const files = {
        '1.sql': `insert into journal (who) values ('one');`,
        '2.sql': `insert into journal (who) values ('two'); create index concurrently items_id on items (id); insert into journal (who) values ('three');`,
        '3.sql': `insert into journal (who) values ('four');`,
      };
      const first = await stageFiles(database.url, files, { caller: 'first', transaction });
      expect(await call(`'${first}'`)).toMatchObject({ directive: { path: '2.sql' } }); // and its session is gone
      const resumed = (id: string, callers: string[]) => resume({ connect: connectOver(database.url), id, target: null, callers, deadlineMs: 50_000 });
      const second = await stageFiles(database.url, { ...files, '4.sql': `insert into journal (who) values ('five');` }, { caller: 'second', transaction });
      expect(await resumed(second, ['second'])).toMatchObject({ state: 'succeeded' });
      expect(await journal()).toEqual(['one', 'two', 'three', 'four', 'five']);
      expect(await resumed(first, ['first', 'second'])).toMatchObject({
        state: 'succeeded',
        phases: [{ steps: [{ state: 'succeeded' }, { state: 'skipped' }, { state: 'skipped' }] }],
      });
      expect(await journal()).toEqual(['one', 'two', 'three', 'four', 'five']);
    },
  );

  it('one that was passed goes on in the middle of a file that the other one left there, though the server would now run all of it', async () => {
    await sql(database.url, `create table items (id int); create type mood as enum ('ok'); create table moods (mood mood)`);
    const files = {
      '1.sql': 'create index concurrently items_id on items (id);',
      // only before 'new' is committed, using it asks for a commit in between
      '2.sql': `insert into journal (who) values ('two'); alter type mood add value if not exists 'new'; insert into moods values ('new'); insert into later values (1);`,
    };
    const first = await stageFiles(database.url, files, { caller: 'first', transaction: 'auto' });
    expect(await call(`'${first}'`)).toMatchObject({ directive: { path: '1.sql' } }); // and its session is gone
    const resumed = (id: string, callers: string[]) => resume({ connect: connectOver(database.url), id, target: null, callers, deadlineMs: 50_000 });
    const second = await stageFiles(database.url, files, { caller: 'second', transaction: 'auto' });
    expect(await resumed(second, ['second'])).toMatchObject({ state: 'failed', error: { sqlstate: '42P01', path: '2.sql' } });
    await sql(database.url, 'create table later (n int)');
    expect(await resumed(first, ['first', 'second'])).toMatchObject({ state: 'succeeded' });
    expect(await journal()).toEqual(['two']);
    expect(await sql(database.url, 'select mood from moods')).toEqual([{ mood: 'new' }]);
  });

  it('one that was passed goes no further when a file of its bundle was applied with other bytes since', async () => {
    const first = await stageFiles(
      database.url,
      { '1.sql': 'create table items (id int);', '2.sql': 'create index concurrently a on items (id);' },
      { caller: 'first', transaction: 'auto' },
    );
    await call(`'${first}'`);
    const second = await stageFiles(
      database.url,
      { '1.sql': 'create table items (id int);', '2.sql': '-- no index' },
      { caller: 'second', transaction: 'auto' },
    );
    expect(await call(`'${second}', p_callers => '{second}'`)).toMatchObject({ state: 'succeeded' });
    expect(await call(`'${first}'`)).toMatchObject({
      state: 'failed',
      error: {
        sqlstate: 'WF013',
        path: '2.sql',
        detail: expect.stringContaining('has passed this one'),
        hint: expect.stringMatching(/^What that deployment brought is newer than this one\. Deploy the bundle/),
      },
    });
  });

  it('the status of one names those ahead of it', async () => {
    const a = await stage('a');
    const b = await stage('b');
    const c = await stage('c');
    expect((await sql(database.url, `select weft.status('${c}') -> 'ahead' as ahead`))[0].ahead).toEqual([a, b]);
  });

  it('an upload that never finishes blocks nobody, and has no place in line until it has finished', async () => {
    const never = await makeOrder(entry('never'), { bundle: 'never' });
    const session = await connectOver(database.url)();
    const opened = await openOrder(session, never);
    const b = await stage('b');
    expect(await call(`'${b}'`)).toMatchObject({ state: 'succeeded', ahead: [] });
    await expect(call(`'${opened.id}'`)).rejects.toMatchObject({ code: 'WF007' });
    expect(await states()).toEqual({ never: 'open', b: 'succeeded' });

    await stageOrder(session, never, opened);
    await session.close();
    await call(`'${opened.id}'`);
    expect(await journal()).toEqual(['b', 'never']);
  });

  it('one ahead that fails does not stop the next', async () => {
    await stageFiles(database.url, { 'bad.sql': 'select 1/0;' }, { bundle: 'bad' });
    const b = await stage('b');
    expect(await call(`'${b}'`)).toMatchObject({ state: 'succeeded' });
    expect(await states()).toEqual({ bad: 'failed', b: 'succeeded' });
  });

  it('one ahead that was cancelled is passed over', async () => {
    const a = await stage('a');
    const b = await stage('b');
    await sql(database.url, `select weft.cancel('${a}')`);
    await call(`'${b}'`);
    expect(await journal()).toEqual(['b']);
  });

  it('a call without an id finishes all of them', async () => {
    for (const who of ['a', 'b', 'c']) await stage(who);
    expect(await call('')).toBeNull();
    expect(await journal()).toEqual(['a', 'b', 'c']);
    expect(await states()).toEqual({ a: 'succeeded', b: 'succeeded', c: 'succeeded' });
  });

  it('a call without an id, where nothing is unfinished, does nothing', async () => {
    const a = await stage('a');
    await call(`'${a}'`);
    expect(await call('')).toBeNull();
    expect(await journal()).toEqual(['a']);
  });

  it('a call for one that is over answers its receipt, and leaves the others alone', async () => {
    const a = await stage('a');
    const first = await call(`'${a}'`);
    await stage('b');
    expect(await call(`'${a}'`)).toEqual(first);
    expect(await states()).toEqual({ a: 'succeeded', b: 'staged' });
  });

  it('a call for one that does not exist says so', async () => {
    await stage('a');
    await expect(call("'00000000-0000-0000-0000-000000000000'")).rejects.toMatchObject({ code: 'WF002' });
  });
});

describe('a copied database', () => {
  it('cancels what only its original had begun; the original goes on', async () => {
    const begun = await stageFiles(
      database.url,
      { '1.sql': "insert into journal (who) values ('begun')", '2.sql': 'insert into later values (1)' },
      { bundle: 'begun', transaction: 'per-step' },
    );
    await interruptBeforeSecondFile(begun);
    await stage('waiting');
    const copy = `${database.name}_copy`;
    await leave(database.url);
    await sql(withDatabase(database.url, 'postgres'), `create database ${copy} template ${database.name}`);
    const url = withDatabase(database.url, copy);
    try {
      const before = await journal(url);
      expect(await call('', url)).toBeNull();
      expect(await states(url)).toEqual({ begun: 'cancelled', waiting: 'cancelled' });
      expect(await journal(url)).toEqual(before);
      const [{ error }] = await sql(url, `select weft.status('${begun}') -> 'error' as error`);
      expect(error).toMatchObject({ sqlstate: 'WF017', message: expect.stringContaining('a copy') });
      const own = await stageFiles(url, entry('own'), { bundle: 'own' });
      expect(await call(`'${own}'`, url)).toMatchObject({ state: 'succeeded' });
    } finally {
      await dropDatabase(database.url, copy);
    }
    await sql(database.url, 'create table later (n int)');
    await call('');
    expect(await states()).toEqual({ begun: 'succeeded', waiting: 'succeeded' });
    expect(await journal()).toEqual(['begun', 'waiting']);
  });

  it('is known by the name of the target as well, where the driver gives one', async () => {
    await stage('for-a', { target: 'a' });
    await stage('for-b', { target: 'b' });
    await call("null, 'b'");
    expect(await states()).toEqual({ 'for-a': 'cancelled', 'for-b': 'succeeded' });
    expect(await journal()).toEqual(['for-b']);
  });

  it('a call that gives no name of a target, as from psql, goes on whatever name was given before', async () => {
    await stage('for-a', { target: 'a' });
    await stage('straight');
    await call('');
    expect(await states()).toEqual({ 'for-a': 'succeeded', straight: 'succeeded' });
  });

  it('the same database under a new name is no copy', async () => {
    const a = await stage('a');
    const name = `${database.name}_renamed`;
    const maintenance = withDatabase(database.url, 'postgres');
    await leave(database.url);
    await sql(maintenance, `alter database ${database.name} rename to ${name}`);
    try {
      expect(await call(`'${a}'`, withDatabase(database.url, name))).toMatchObject({ state: 'succeeded' });
    } finally {
      await leave(withDatabase(database.url, name));
      await sql(maintenance, `alter database ${name} rename to ${database.name}`);
    }
    expect(await journal()).toEqual(['a']);
  });

  it('repeats a request that is over with the receipt that came along', async () => {
    const files = entry('done');
    const id = await stageFiles(database.url, files, { bundle: 'done', id: 'same' });
    await call(`'${id}'`);
    const copy = `${database.name}_copy`;
    await leave(database.url);
    await sql(withDatabase(database.url, 'postgres'), `create database ${copy} template ${database.name}`);
    try {
      const url = withDatabase(database.url, copy);
      expect(await stageFiles(url, files, { bundle: 'done', id: 'same' })).toBe(id);
      expect(await journal(url)).toEqual(['done']);
    } finally {
      await dropDatabase(database.url, copy);
    }
  });

  /** Leaves a deployment begun: its first file is done, its second was interrupted while it waited for a lock. */
  async function interruptBeforeSecondFile(id: string): Promise<void> {
    await sql(database.url, 'create table later (n int)');
    const [locker, runner] = [await database.client(), await database.client()];
    await locker.query('begin; lock table later');
    const running = runner.query(`call weft.run('${id}')`);
    const waiting = `select 1 from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'`;
    const runnerPid = (runner as unknown as { processID: number }).processID;
    while ((await sql(database.url, waiting, [runnerPid])).length === 0);
    await locker.query(`select pg_cancel_backend(${runnerPid})`);
    expect((await running).rows[0].result).toMatchObject({ state: 'running', interrupted: { sqlstate: '57014' } });
    await locker.query('rollback');
    await sql(database.url, 'drop table later');
    await Promise.all([locker.end(), runner.end()]);
  }
});

describe('psql alone', () => {
  it('goes on with a deployment by its id, in a session that nobody prepared', async () => {
    const id = await stage('a');
    const client = new pg.Client({ connectionString: database.url, application_name: 'psql' });
    await client.connect();
    await client.query("set search_path = journal; set datestyle = 'SQL, DMY'; set client_min_messages = debug1; set lock_timeout = '1ms'; set role none");
    expect((await client.query(`call weft.run('${id}')`)).rows[0].result).toMatchObject({ state: 'succeeded' });
    await client.end();
    expect(await journal()).toEqual(['a']);
  });

  it('sees what others commit, also where transactions are serializable by default', async () => {
    const id = await stageFiles(
      database.url,
      { '1.sql': "insert into journal (who) values ('a')", '2.sql': AT_THE_GATE, '3.sql': "insert into journal (who) values ('c')" },
      { transaction: 'single' },
    );
    await sql(database.url, `alter database ${database.name} set default_transaction_isolation = 'serializable'`);
    const gate = await shutGate(database.url);
    const running = call(`'${id}'`);
    await gate.reached();
    expect(await call(`'${id}'`)).toMatchObject({ attached: { holder: 'alive' } });
    await sql(database.url, `select weft.cancel('${id}')`);
    expect(await running).toMatchObject({ state: 'cancelled' });
    await gate.open();
    expect(await journal()).toEqual([]);
  });

  it('is told when it opens a transaction around the call', async () => {
    const id = await stage('a');
    const client = await database.client();
    await client.query('begin');
    await expect(client.query(`call weft.run('${id}')`)).rejects.toMatchObject({ code: '2D000' });
    await client.query('rollback');
    expect((await client.query(`call weft.run('${id}')`)).rows[0].result).toMatchObject({ state: 'succeeded' });
    await client.end();
  });
});
